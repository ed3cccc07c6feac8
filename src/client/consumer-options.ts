/** What a program says when it makes a consumer, and when it polls. */
import { TinyMQError } from "../errors.ts";
import { ConsumeMode } from "../gen/tinymq/v1/queue.ts";
import type { Duration } from "../wire/units.ts";
import type { Decoder } from "./codecs.ts";
import type { ConnectionOptions } from "./connection-options.ts";

/** Enough to hide the way to the server and back behind the work on half of them. */
const DEFAULT_PREFETCH = 2_048;
/** Competing consumers share a backlog evenly only if none holds much of it. */
const DEFAULT_SHARED_PREFETCH = 64;

const MODES = {
  exclusive: ConsumeMode.EXCLUSIVE,
  standby: ConsumeMode.STANDBY,
  shared: ConsumeMode.SHARED,
} as const;

/** Options of a consumer. */
export interface ConsumerOptions<T = string> extends ConnectionOptions {
  /** What bodies are. Default `text`: strings. */
  codec?: Decoder<T>;
  /**
   * `exclusive` (default): the topic's only consumer, or `InitFailed`. `standby`: waits in line for that.
   * `shared`: competes with other shared consumers.
   */
  mode?: keyof typeof MODES;
  /** Messages that may be here and not settled at once. Default 2,048, in shared mode 64. */
  prefetch?: number;
  /** false: neither `poll()` nor the next step of a loop acknowledges; `ack()` does. Default true. */
  autoAck?: boolean;
}

/** Options of one poll. */
export interface PollOptions {
  /** How long to wait for a message. Default: not at all. */
  wait?: Duration;
}

/** The wire's word for the option `mode`. Throws INVALID_ARGUMENT for what is none. */
export function modeOf(mode: string): ConsumeMode {
  if (Object.hasOwn(MODES, mode)) return MODES[mode as keyof typeof MODES];
  throw new TinyMQError(
    "INVALID_ARGUMENT",
    `mode is "exclusive", "standby" or "shared", not ${String(mode)}`,
  );
}

/** The option `prefetch`, or the mode's default. Throws INVALID_ARGUMENT for what is no count from 1. */
export function prefetchOf(prefetch: number | undefined, shared: boolean): number {
  const count = prefetch ?? (shared ? DEFAULT_SHARED_PREFETCH : DEFAULT_PREFETCH);
  if (Number.isSafeInteger(count) && count >= 1) return count;
  throw new TinyMQError("INVALID_ARGUMENT", `prefetch is an integer from 1, not ${String(count)}`);
}
