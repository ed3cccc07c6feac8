/** The limits and times of the protocol, with their defaults. Sizes are bytes, times are ms. */

export const KiB = 1024;
export const MiB = 1024 * 1024;

/** Body and headers of one message: its encoded entry. */
export const MAX_MESSAGE_BYTES = MiB;
/** What a batch may have beside its largest message. */
export const BATCH_SLACK_BYTES = 64 * KiB;
/** What a frame may have beside its batch: the field tags, seq, and options. */
export const FRAME_SLACK_BYTES = KiB;
export const MAX_BATCH_MESSAGES = 8_192;
export const MAX_BATCHES_IN_FLIGHT = 256;
export const MAX_PULLS_IN_FLIGHT = 64;
/** Of a close frame's reason (source: RFC 6455, section 5.5: 125 bytes less the code). */
export const MAX_CLOSE_REASON_BYTES = 123;
/** Of a settle's reason that is kept. */
export const MAX_REASON_BYTES = 1_024;
/** The longest time that one message may hold its whole topic back. */
export const LONGEST_HOLD_MS = 86_400_000;
/** An id: 0 to this. */
export const MAX_ID = Number.MAX_SAFE_INTEGER;

export const HEARTBEAT_MS = 15_000;
/** A stream on which nothing arrived is given up after this many heartbeat times. */
export const DEAD_AFTER_HEARTBEATS = 3;
export const FIRST_FRAME_MS = 5_000;
/** Nothing larger is read of a client that has not said who it is. */
export const FIRST_FRAME_BYTES = 4 * KiB;

export const SUBPROTOCOL = "tinymq.v1";
export const DEFAULT_PORT = 9_800;
