/** What was not stored of a batch. */
import type { Code } from "../errors.ts";

/** The messages [first, first + count) of a batch. */
export interface MessageRange {
  first: number;
  count: number;
}

/** Why a batch, or a part of it, was not stored. Not an error object: it is kept for long, and stacks are large. */
export interface Refusal {
  readonly code: Code;
  readonly message: string;
  /** The messages that were not stored; empty: none was stored. */
  readonly messages: readonly MessageRange[];
}

/** Bytes of a refusal that is remembered, roughly. */
export function refusalBytes({ message, messages }: Refusal): number {
  return 160 + message.length + 48 * messages.length;
}
