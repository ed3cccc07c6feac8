/** What was not stored of a batch. */
import type { TinyMQError } from "../errors.ts";

/** The messages [first, first + count) of a batch. */
export interface MessageRange {
  first: number;
  count: number;
}

/** Why a batch, or a part of it, was not stored. */
export interface Refusal {
  readonly error: TinyMQError;
  /** Those that were not stored, where others were; empty: none was. */
  readonly messages: readonly MessageRange[];
}
