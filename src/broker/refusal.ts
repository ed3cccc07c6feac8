/** What was not stored of a batch. */
import type { Code } from "../errors.ts";

/** The messages [first, first + count) of a batch. */
export interface MessageRange {
  first: number;
  count: number;
}

/** Why a batch, or a part of it, was not stored. It is remembered: no error, which would have its stack beside it. */
export interface Refusal {
  readonly code: Code;
  readonly message: string;
  /** Those that were not stored, where others were; empty: none was. */
  readonly messages: readonly MessageRange[];
}

/** Bytes of a refusal that is remembered, roughly. */
export function refusalBytes({ message, messages }: Refusal): number {
  return 160 + message.length + 48 * messages.length;
}
