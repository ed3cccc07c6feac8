/** Stops a run: the server did what the model does not allow. */
export function fail(what: string): never {
  // Bodies are long, and told by how they begin.
  throw new Error(what.replaceAll(/x{9,}/g, "…"));
}

/** Stops a run unless both are the same. */
export function same(found: unknown, wanted: unknown, what: string): void {
  if (!Bun.deepEquals(found, wanted))
    fail(`${what}: ${Bun.inspect(found)}, the model says ${Bun.inspect(wanted)}`);
}
