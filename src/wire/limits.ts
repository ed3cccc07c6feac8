/** The limits and times of the protocol, with their defaults. Sizes are bytes, times are ms. */

export const KiB = 1024;
export const MiB = 1024 * 1024;

/** One encoded message (id, body, headers), without its entry's tag and length. */
export const MAX_MESSAGE_BYTES = MiB;
/** Room in a batch besides its largest message. */
export const BATCH_SLACK_BYTES = 64 * KiB;
/** Room in a frame besides its batch: field tags, seq and options. */
export const FRAME_SLACK_BYTES = KiB;
export const MAX_BATCH_MESSAGES = 8_192;
export const MAX_BATCHES_IN_FLIGHT = 256;
export const MAX_PULLS_IN_FLIGHT = 64;
/** Fields of a frame, each settle of a pull counted as one. */
export const MAX_FRAME_FIELDS = 8_192;
/** A close frame's reason (source: RFC 6455, section 5.5: 125 bytes less the code). */
export const MAX_CLOSE_REASON_BYTES = 123;
/** What is kept of the reason of a settle or rewind. */
export const MAX_REASON_BYTES = 1_024;
/** Longest delay of a rewind, which holds back the whole topic. */
export const LONGEST_HOLD_MS = 86_400_000;
/** Largest id of a message. */
export const MAX_ID = Number.MAX_SAFE_INTEGER;

export const HEARTBEAT_MS = 15_000;
/** A stream on which nothing arrives for this many heartbeat intervals is closed. */
export const DEAD_AFTER_HEARTBEATS = 3;
export const FIRST_FRAME_MS = 5_000;
/** Maximum first frame: the client is not yet authenticated. */
export const FIRST_FRAME_BYTES = 4 * KiB;

export const SUBPROTOCOL = "tinymq.v1";
export const DEFAULT_PORT = 9_800;
