/** Stops a run: the server did what the model does not allow. */
export function fail(what: string): never {
  throw new Error(what);
}

/** Stops a run unless both are the same. */
export function same(found: unknown, wanted: unknown, what: string): void {
  if (!Bun.deepEquals(found, wanted))
    fail(`${what}: ${Bun.inspect(found)}, the model says ${Bun.inspect(wanted)}`);
}
