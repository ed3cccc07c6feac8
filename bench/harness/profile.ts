/**
 * CPU profiles of tinyMQ's server and clients, each written when its process ends. A profiled run is slower:
 * its figures say nothing, its profiles say where the time goes.
 */

let folder: string | undefined;

/** Where profiles go; from then on, processes are profiled. */
export function profileInto(path: string): void {
  folder = path;
}

/** What the runtime is started with; the same for Bun and Node. */
export function profileFlags(): string[] {
  return folder === undefined ? [] : ["--cpu-prof", `--cpu-prof-dir=${folder}`];
}
