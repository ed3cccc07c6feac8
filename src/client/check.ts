/**
 * Checks values that a program passes. Always holds: unknown options and wrong types throw INVALID_ARGUMENT, with
 * what was expected. To ignore a misspelt option would be worse.
 */

import { didYouMean } from "../did-you-mean.ts";
import { TinyMQError } from "../errors.ts";

/** What an option may be: a check, and a description for people. */
export interface Kind {
  readonly name: string;
  readonly is: (value: unknown) => boolean;
}

/** The options that an object may have, by name. */
export type Kinds = Readonly<Record<string, Kind>>;

export const TEXT: Kind = { name: "a string", is: (value) => typeof value === "string" };
export const FLAG: Kind = { name: "true or false", is: (value) => typeof value === "boolean" };
export const FUNCTION: Kind = { name: "a function", is: (value) => typeof value === "function" };
/** Not checked here, but where the option is used. */
export const ANY: Kind = { name: "anything", is: () => true };

/** Throws INVALID_ARGUMENT unless `options` is undefined, or an object with no other options than `kinds`. */
export function checkOptions(options: unknown, what: string, kinds: Kinds, example: string): void {
  if (options === undefined) return;
  if (typeof options !== "object" || options === null || Array.isArray(options)) {
    throw invalid(`${what} must be an object such as ${example}, not ${describe(options)}`);
  }
  for (const key of Object.keys(options)) {
    const value = (options as Record<string, unknown>)[key];
    if (!Object.hasOwn(kinds, key)) {
      // `internals` are for our own tests.
      const names = Object.keys(kinds).filter((name) => name !== "internals");
      throw invalid(
        `${what} have no ${JSON.stringify(key)}${didYouMean(key, names) || `; use one of ${names.join(", ")}`}`,
      );
    }
    if (value !== undefined && !kinds[key]!.is(value)) {
      throw invalid(`${key} must be ${kinds[key]!.name}, not ${describe(value)}`);
    }
  }
}

/** A value for people: 5, "a", null, an array, Map, function json. */
export function describe(value: unknown): string {
  if (value === null) return "null";
  if (Array.isArray(value)) return "an array";
  if (typeof value === "object") return value.constructor?.name || "an object";
  if (typeof value === "function") return `function ${value.name}`;
  if (typeof value === "string") return JSON.stringify(value);
  return String(value);
}

/** An INVALID_ARGUMENT error. */
export function invalid(message: string, cause?: unknown): TinyMQError {
  return new TinyMQError("INVALID_ARGUMENT", message, cause === undefined ? undefined : { cause });
}
