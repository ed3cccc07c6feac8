/** What is injected into a server, and what the server hands to its core. */

import type { Principal } from "../session/principal.ts";
import type { Clock } from "../wire/clock.ts";
import type { Logger } from "./logger.ts";
import type { ResolvedOptions } from "./server-options.ts";

/** For programs that embed a server, and for tests. Defaults: no log, the machine's clock, no call. */
export interface ServerParts {
  logger?: Logger;
  clock?: Clock;
  /** Called after each record of a snapshot that is being written, to show progress. */
  onSnapshotProgress?: () => void;
}

/** What the core needs of the server. */
export interface CoreParts {
  readonly options: ResolvedOptions;
  readonly logger: Logger;
  readonly clock: Clock;
  readonly maxFrameBytes: number;
  authenticate(token: string): Principal | null;
  /** Sends a frame to all subscribers of a topic. */
  publish(topic: string, frame: Uint8Array): void;
  uptimeMs(): number;
}
