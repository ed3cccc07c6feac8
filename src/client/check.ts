/**
 * Checks of what a program passes. What is not understood is INVALID_ARGUMENT, and says what was wrong and what was
 * meant: an option that nobody reads is the worst answer to a misspelt one.
 */

import { didYouMean } from "../did-you-mean.ts";
import { TinyMQError } from "../errors.ts";

/** What an option may be: whether a value is it, and its name for people. */
export interface Kind {
  readonly name: string;
  readonly is: (value: unknown) => boolean;
}

/** The options of something, by name. */
export type Kinds = Readonly<Record<string, Kind>>;

export const TEXT: Kind = { name: "text", is: (value) => typeof value === "string" };
export const FLAG: Kind = { name: "true or false", is: (value) => typeof value === "boolean" };
export const FUNCTION: Kind = { name: "a function", is: (value) => typeof value === "function" };
/** Checked where it is read. */
export const ANY: Kind = { name: "anything", is: () => true };

/** Throws INVALID_ARGUMENT unless `options` is undefined, or an object of what `kinds` has. */
export function checkOptions(options: unknown, what: string, kinds: Kinds, example: string): void {
  if (options === undefined) return;
  if (typeof options !== "object" || options === null || Array.isArray(options)) {
    throw invalid(`${what} are an object such as ${example}, not ${describe(options)}`);
  }
  for (const key of Object.keys(options)) {
    const value = (options as Record<string, unknown>)[key];
    if (!Object.hasOwn(kinds, key)) {
      const names = Object.keys(kinds);
      throw invalid(
        `${what} have no ${JSON.stringify(key)}${didYouMean(key, names) || `; there are ${names.join(", ")}`}`,
      );
    }
    if (value !== undefined && !kinds[key]!.is(value)) {
      throw invalid(`${key} is ${kinds[key]!.name}, not ${describe(value)}`);
    }
  }
}

/** A value for people: 5, "a", null, an array, Map, function json. */
export function describe(value: unknown): string {
  if (value === null) return "null";
  if (Array.isArray(value)) return "an array";
  if (typeof value === "object") return value.constructor?.name ?? "an object";
  if (typeof value === "function") return `function ${value.name}`;
  if (typeof value === "string") return JSON.stringify(value);
  return String(value);
}

/** INVALID_ARGUMENT. */
export function invalid(message: string, cause?: unknown): TinyMQError {
  return new TinyMQError("INVALID_ARGUMENT", message, cause === undefined ? undefined : { cause });
}
