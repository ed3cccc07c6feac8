/**
 * What is measured: one contract, which tinyMQ, the control and every peer implement, so that each workload
 * is written once. The upper half runs in the bench's own process, the lower half (`Client` and below) in
 * the client processes.
 */
import type { Bodies } from "./bodies.ts";
import type { Sink } from "./sink.ts";

export type Runtime = "bun" | "node";
export type Role = "control" | "tinymq" | "peer";

/** How a producer sends: each message with its own promise, groups of those awaited together, or many in one call. */
export type ProduceStyle = "send" | "groups" | "many";
/** How a consumer takes messages: in the fastest way of its client, or with `poll()` one by one. */
export type ConsumeStyle = "stream" | "poll";

/** What a subject can do. A workload that needs more is left out for it. */
export interface Abilities {
  /** Stores messages until they are consumed, and has consumers that acknowledge. */
  queue?: boolean;
  /** Several consumers can share one topic. */
  shared?: boolean;
  /** Every subscriber gets a copy. */
  fanOut?: boolean;
  /** Loses messages for slow receivers, so that a producer must not get far ahead of them. */
  lossy?: boolean;
  /** `many` where the client has a call for many messages. */
  produceStyles?: readonly ProduceStyle[];
  consumeStyles?: readonly ConsumeStyle[];
}

export interface Subject {
  /** For `--peers` and results: `nats-jetstream`. */
  readonly key: string;
  /** For people: `NATS JetStream (memory)`. */
  readonly name: string;
  readonly role: Role;
  /** What an acknowledgement means, and how often a message arrives. */
  readonly promise: string;
  readonly abilities: Abilities;
  /** Whether it can deliver a message twice by design: duplicates are counted, not an error. */
  readonly atLeastOnce?: boolean;
  /** The npm client and how it is used. */
  readonly client: string;
  readonly runtimes: readonly Runtime[];
  /** Another subject with the same server, whose memory need not be measured twice. */
  readonly sameServerAs?: string;
  /** Another subject, among all, whose `connect` client processes call instead. */
  readonly sameClientAs?: string;
  /** The version, or how to install what is missing. */
  find(): Promise<{ version: string } | { missing: string }>;
  /** Starts a server on a free loopback port, with nothing kept on disk. */
  start(): Promise<RunningServer>;
  /** The path of the client library's module, where it is not a package of the bench. */
  clientModule?(runtime: Runtime): string;
  /** MUST load the npm client here and not before; runs in a client process. */
  connect(target: Target): Promise<Client>;
}

export interface RunningServer {
  readonly port: number;
  /** The processes whose CPU time and memory count as the server's. */
  readonly pids: readonly number[];
  /** What was run, with placeholders for folders and ports. */
  readonly command: string;
  /** Settings worth knowing that the command does not show. */
  readonly settings?: string;
  /** MUST end every process that `start` started; may be called twice. */
  stop(): Promise<void>;
}

/** Where clients connect. */
export interface Target {
  readonly host: string;
  readonly port: number;
  /** From `clientModule`. */
  readonly module?: string;
}

export interface OpenOptions {
  readonly topic: string;
  /** Bytes of a body. */
  readonly size: number;
  /** Several connections of this side share the topic. */
  readonly shared: boolean;
  /** Each consumer gets every message. */
  readonly fanOut: boolean;
  readonly consumeStyle: ConsumeStyle;
}

export interface Client {
  /** Makes the topic, where that is a step of its own. */
  prepare?(options: OpenOptions): Promise<void>;
  producer(options: OpenOptions): Promise<BenchProducer>;
  consumer?(options: OpenOptions): Promise<BenchConsumer>;
  /** Removes the topic and what is left in it. */
  remove?(options: OpenOptions): Promise<void>;
  close(): Promise<void>;
}

export interface BenchProducer {
  /** Sends message `seq` and resolves when it is acknowledged. MUST NOT read its body after that. */
  send(bodies: Bodies, seq: number): Promise<unknown>;
  /** Sends messages `first` to `first + count - 1` in one call. */
  sendMany?(bodies: Bodies, first: number, count: number): Promise<unknown>;
  /** Messages in flight that suit this client. */
  readonly window: number;
  /** Messages of one `sendMany`. */
  readonly many?: number;
  close(): Promise<void>;
}

export interface BenchConsumer {
  /**
   * Hands every message to the sink and acknowledges it. Resolves when the sink is full and the last
   * acknowledgement is on its way; MUST also end when another consumer filled the sink.
   */
  consume(sink: Sink): Promise<void>;
  close(): Promise<void>;
}
