/**
 * Keeping processes on cores. With two cores, a message and its answer take half the time when the kernel
 * happens to put both ends on one core: two subjects can be compared only where the kernel has no choice.
 */

/** Whether processes can be kept on cores here: Linux, with util-linux. */
export function canPin(): boolean {
  return process.platform === "linux" && navigator.hardwareConcurrency > 1 && Bun.which("taskset") !== null;
}

/** Does `work` with the servers on the first core and the clients on the second. */
export async function withPinned<T>(
  servers: readonly number[],
  clients: readonly number[],
  work: () => Promise<T>,
): Promise<T> {
  const all = `0-${navigator.hardwareConcurrency - 1}`;
  for (const pid of servers) pin(pid, "0");
  for (const pid of clients) pin(pid, "1");
  try {
    return await work();
  } finally {
    for (const pid of [...servers, ...clients]) pin(pid, all);
  }
}

/** All threads of the process. Throws if that is not allowed. */
function pin(pid: number, cores: string): void {
  const { exitCode, stderr } = Bun.spawnSync(["taskset", "-a", "-c", "-p", cores, String(pid)], {
    stdout: "ignore",
  });
  if (exitCode !== 0)
    throw new Error(`process ${pid} cannot be kept on core ${cores}: ${stderr.toString().trim()}`);
}
