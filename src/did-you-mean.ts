/** Suggests a known name for one that does not exist. */

/** "; did you mean NAME?" with the closest of `names`, or "" if none is close to `word`. */
export function didYouMean(word: string, names: readonly string[]): string {
  const close = names
    .map((name) => ({ name, distance: editDistance(word, name) }))
    .filter(({ name, distance }) => distance <= 2 && distance <= name.length / 2)
    .sort((one, other) => one.distance - other.distance);
  return close[0] ? `; did you mean ${close[0].name}?` : "";
}

/** How many letters must be added, removed or changed (Levenshtein distance). */
function editDistance(one: string, other: string): number {
  let row = Array.from({ length: other.length + 1 }, (_, index) => index);
  for (let i = 1; i <= one.length; i += 1) {
    const next = [i];
    for (let j = 1; j <= other.length; j += 1) {
      const change = one[i - 1] === other[j - 1] ? 0 : 1;
      next.push(Math.min(next[j - 1]! + 1, row[j]! + 1, row[j - 1]! + change));
    }
    row = next;
  }
  return row[other.length]!;
}
