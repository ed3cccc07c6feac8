/** What the topics of one broker share. */

import type { Counters } from "../gen/tinymq/v1/admin.ts";
import type { SlabPool } from "../log/slab-pool.ts";
import type { BrokerLimits } from "./broker-limits.ts";
import type { Timers } from "./timers.ts";

export interface Shared {
  readonly limits: BrokerLimits;
  readonly timers: Timers;
  readonly pool: SlabPool;
  /** Of all topics since the start. */
  readonly counters: Counters;
  /** Producers and ids remembered, of all topics; each topic counts its own in and out. */
  readonly remembered: { producers: number; uniqueIds: number };
}
