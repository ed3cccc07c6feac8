/** What a server is made of beside its options. */

import type { Principal } from "../session/principal.ts";
import type { Clock } from "../wire/clock.ts";
import type { Logger } from "./logger.ts";
import type { ResolvedOptions } from "./server-options.ts";

/** For programs that embed a server, and for tests. Defaults: no log, the machine's clock, no call. */
export interface ServerParts {
  logger?: Logger;
  clock?: Clock;
  /** Told of every step while a snapshot is written, for whoever waits for the server to end. */
  onSnapshotProgress?: () => void;
}

/** What the core needs of the server. */
export interface CoreParts {
  readonly options: ResolvedOptions;
  readonly logger: Logger;
  readonly clock: Clock;
  readonly maxFrameBytes: number;
  authenticate(token: string): Principal | null;
  /** Hands a frame to all subscribers of a topic. */
  publish(topic: string, frame: Uint8Array): void;
  uptimeMs(): number;
}
