/** What the topics of one broker share. */

import type { Counters } from "../gen/tinymq/v1/admin.ts";
import type { SlabPool } from "../log/slab-pool.ts";
import type { BrokerLimits } from "./broker-limits.ts";
import type { Timers } from "./timers.ts";

export interface Shared {
  readonly limits: BrokerLimits;
  readonly timers: Timers;
  readonly pool: SlabPool;
  /** Sums over all topics, since the server started. */
  readonly counters: Counters;
  /** How many producers and ids all topics remember; each topic adds and subtracts its own. */
  readonly remembered: { producers: number; uniqueIds: number };
}
