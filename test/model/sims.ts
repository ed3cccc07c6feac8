/** The clients of a run: what they sent, and what the model makes them expect. */
import type { Link } from "../support/world.ts";
import type { ModelConsumer } from "./consumer.ts";
import type { Content, ModelProducer, Refused } from "./message.ts";
import type { ModelTopic } from "./topic.ts";

/** A batch that was sent. */
export interface Sent {
  readonly seq: number;
  readonly contents: readonly Content[];
  readonly delayMs: number;
  readonly ttlMs: number;
  readonly uniqueMs: number;
}

export interface Awaited {
  readonly sent: Sent;
  /** "stored", or how it is refused; null: that depends on whether there is room for it, or for some of it. */
  readonly answer: "stored" | Refused | null;
  /** It was answered before. */
  readonly again: boolean;
}

/** What an identified producer remembers over its connections. */
export interface History {
  readonly sent: Map<number, Sent>;
  next: number;
  /** Of its last connection; "": none. */
  instance: string;
}

interface SimBase {
  readonly link: Link;
  readonly topic: ModelTopic;
  /** Of the first version. */
  readonly old: boolean;
  /** Sends nothing any more, not even heartbeats. */
  frozen: boolean;
  lastSent: number;
  /** The close code that must come in this step. */
  closes: number | null;
  /** There may be no room for the topic that it names. */
  mayBeRefused: boolean;
}

export interface SimProducer extends SimBase {
  readonly kind: "producer";
  readonly id: string;
  readonly broadcast: boolean;
  readonly history: History;
  readonly producer: ModelProducer;
  /** What `opened` must say; null once it came. */
  opens: { known: boolean; lastSeq: number } | null;
  awaited: Awaited[];
}

export interface SimConsumer extends SimBase {
  readonly kind: "consumer";
  readonly consumer: ModelConsumer;
  /** Whether `opened` must say that it holds the topic; null once it came. */
  opens: boolean | null;
  /** The position that `rewound` must name. */
  rewinds: number | null;
  pulls: number;
}

export interface SimSubscriber extends SimBase {
  readonly kind: "subscriber";
  opens: number | null;
  /** What it saw in this step, with the running count. */
  seen: [count: number, body: string][];
  /** The running count, as it was told. */
  told: number;
}

export type Sim = SimProducer | SimConsumer | SimSubscriber;
