/** Running counts of messages, of one topic and of the whole server at once. */
import type { Counters } from "../gen/tinymq/v1/admin.ts";

export type CounterName = keyof Counters;

export function zeroCounters(): Counters {
  return {
    produced: 0,
    delivered: 0,
    acked: 0,
    redelivered: 0,
    deadLettered: 0,
    expired: 0,
    dropped: 0,
    rejected: 0,
    published: 0,
    purged: 0,
    duplicates: 0,
  };
}
