/** Values that may come later: what comes at once is gone on with in the same turn. */

export type MaybePromise<T> = T | Promise<T>;

/** Goes on with a value, or with what a promise brings: in the same turn where it can. */
export function chain<T, U>(result: MaybePromise<T>, next: (value: T) => MaybePromise<U>): MaybePromise<U> {
  return result instanceof Promise ? result.then(next) : next(result);
}

/** Ends a chain: exactly one of `done` and `failed` is called, in the same turn where it can. */
export function settle<T>(
  attempt: () => MaybePromise<T>,
  done: (value: T) => void,
  failed: (error: unknown) => void,
): void {
  let result: MaybePromise<T>;
  try {
    result = attempt();
  } catch (error) {
    failed(error);
    return;
  }
  if (result instanceof Promise) result.then(done, failed);
  else done(result);
}
