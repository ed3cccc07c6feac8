/** What the model remembers of messages and of those who send them. */
import { Batch } from "../../src/gen/tinymq/v1/queue.ts";

export interface Content {
  readonly id: number;
  readonly body: string;
  readonly headers: Record<string, string>;
}

export interface ModelMessage extends Content {
  /** Its place among all that its topic ever had: without gaps. */
  readonly number: number;
  /** Bytes of its entry. */
  readonly size: number;
  /** Infinity: never. */
  readonly expires: number;
  /** Dying: on its way to the dead letters. */
  state: "fresh" | "leased" | "returned" | "held" | "dying";
  deliveries: number;
  /** Held: when it returns. Returned: until when it holds itself and all behind it back; 0: it does not. */
  heldUntil: number;
  /** Its time to live was over while it was leased. */
  late: boolean;
  /** It was looked at when its time to live was over. */
  swept: boolean;
  /** The step in which it became ready: in that step it may be overlooked. */
  readySince: number;
  /** Learned when it is delivered. */
  offset: number | null;
}

export interface DelayedBatch {
  readonly due: number;
  readonly expires: number;
  readonly contents: Content[];
}

/** Messages on their way to the dead letters: consecutive ones that died the same way. */
export interface Dying {
  messages: ModelMessage[];
  readonly deliveries: number;
  readonly reason: string;
}

/** Offsets [first, end) that expire together. */
export interface Expiring {
  readonly due: number;
  readonly first: number;
  end: number;
}

/** How a batch was refused, and which of its messages (empty: none was stored). */
export interface Refused {
  readonly code: number;
  readonly ranges: readonly { first: number; count: number }[];
}

export interface ModelProducer {
  /** Has no past here that was forgotten, or a batch of it came since. */
  known: boolean;
  lastSeq: number;
  /** The code that it was rejected with; absent: stored. */
  readonly rejected: Map<number, Refused>;
  connected: boolean;
  forgetAt: number;
}

/** Bytes of the entry of a message. */
export function sizeOf({ id, body, headers }: Content): number {
  return Batch.toBinary({ messages: [{ id, body: new TextEncoder().encode(body), headers }] }).length;
}
