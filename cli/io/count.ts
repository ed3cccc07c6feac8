/** Counts as people read them. */

/** "1,234,567". */
export function formatCount(count: number): string {
  return count.toLocaleString("en");
}

/** "1 message", "1,234 messages". */
export function counted(count: number, noun: string): string {
  return `${formatCount(count)} ${noun}${count === 1 ? "" : "s"}`;
}
