/** A server that does only what a test tells it to: the other end of each stream, frame by frame. */
import type { MessageType } from "@protobuf-ts/runtime";
import type { Server, ServerWebSocket } from "bun";
import {
  ConsumeRequest,
  ConsumeResponse,
  type Limits,
  ProduceRequest,
  ProduceResponse,
  SubscribeRequest,
  SubscribeResponse,
} from "../../src/gen/tinymq/v1/queue.ts";
import { BatchReader } from "../../src/wire/decode.ts";
import { BatchWriter } from "../../src/wire/encode.ts";

export const LIMITS: Limits = {
  maxMessageBytes: 1024 * 1024,
  maxFrameBytes: 1024 * 1024 + 65 * 1024,
  maxBatchMessages: 8192,
  maxInFlight: 256,
  heartbeatMs: 15_000,
  deadAfterMs: 45_000,
};

/** What the frame of one kind holds. */
type Content<Kinds, K> =
  Extract<Kinds, { oneofKind: K }> extends infer Frame ? Frame[K & keyof Frame] : never;
type Kind = { oneofKind: string | undefined };

/** The server's end of one stream. `In` is what the client sends, `Out` what the server sends. */
export class FakeStream<In extends { kind: Kind }, Out extends { kind: Kind }> {
  readonly method: string;
  readonly protocols: string | null;
  /** Resolves with the close code and reason when the stream ended. */
  readonly closed: Promise<{ code: number; reason: string }>;
  /** Frames of the client that no test has taken, without those that only say what was handed out. */
  readonly frames: Uint8Array[] = [];
  /** What the client said in frames of their own that it handed out. */
  readonly handed: number[] = [];
  socket!: ServerWebSocket<unknown>;
  readonly #in: MessageType<In>;
  readonly #out: MessageType<Out>;
  readonly #waiting: (() => void)[] = [];
  #settleClosed!: (how: { code: number; reason: string }) => void;

  constructor(method: string, protocols: string | null, input: MessageType<In>, output: MessageType<Out>) {
    this.method = method;
    this.protocols = protocols;
    this.#in = input;
    this.#out = output;
    this.closed = new Promise((resolve) => {
      this.#settleClosed = resolve;
    });
  }

  /** The client's next frame. */
  async take(): Promise<In["kind"]> {
    while (this.frames.length === 0) await new Promise<void>((resolve) => this.#waiting.push(resolve));
    return this.#in.fromBinary(this.frames.shift()!).kind;
  }

  /** The client's next frame, which must be of that kind. */
  async expect<K extends NonNullable<In["kind"]["oneofKind"]>>(kind: K): Promise<Content<In["kind"], K>> {
    const frame = await this.take();
    if (frame.oneofKind !== kind) throw new Error(`expected ${kind}, got ${JSON.stringify(frame)}`);
    return (frame as unknown as Record<string, never>)[kind]!;
  }

  send(kind: Out["kind"]): void {
    this.socket.sendBinary(this.#out.toBinary({ kind } as Out));
  }

  close(code: number, reason = ""): void {
    this.socket.close(code, reason);
  }

  /** Cuts the connection without a word. */
  cut(): void {
    this.socket.terminate();
  }

  received(frame: Uint8Array): void {
    const { kind } = this.#in.fromBinary(frame);
    if (kind.oneofKind === "handed") {
      this.handed.push((kind as unknown as { handed: { count: number } }).handed.count);
      return;
    }
    this.frames.push(new Uint8Array(frame));
    this.#waiting.shift()?.();
  }

  ended(code: number, reason: string): void {
    this.#settleClosed({ code, reason });
  }
}

export type ProduceStream = FakeStream<ProduceRequest, ProduceResponse>;
export type ConsumeStream = FakeStream<ConsumeRequest, ConsumeResponse>;
export type SubscribeStream = FakeStream<SubscribeRequest, SubscribeResponse>;

/** Listens on loopback; `accept` gives the streams in the order in which they were opened. */
export class FakeServer {
  readonly port: number;
  readonly #server: Server<unknown>;
  readonly #streams: FakeStream<never, never>[] = [];
  readonly #waiting: (() => void)[] = [];

  constructor() {
    this.#server = Bun.serve<FakeStream<never, never>>({
      hostname: "127.0.0.1",
      port: 0,
      fetch: (request, server) => {
        const path = new URL(request.url).pathname;
        const types = {
          "/tinymq.v1.TinyMQ/Produce": [ProduceRequest, ProduceResponse],
          "/tinymq.v1.TinyMQ/Consume": [ConsumeRequest, ConsumeResponse],
          "/tinymq.v1.TinyMQ/Subscribe": [SubscribeRequest, SubscribeResponse],
        }[path];
        if (types === undefined) return new Response("no such method", { status: 404 });
        const protocols = request.headers.get("sec-websocket-protocol");
        const stream = new FakeStream(path, protocols, types[0] as never, types[1] as never);
        const headers = { "sec-websocket-protocol": "tinymq.v1" };
        return server.upgrade(request, { data: stream as never, headers })
          ? undefined
          : new Response("no WebSocket", { status: 400 });
      },
      websocket: {
        perMessageDeflate: false,
        open: (socket) => {
          socket.data.socket = socket;
          this.#streams.push(socket.data);
          this.#waiting.shift()?.();
        },
        message: (socket, frame) => socket.data.received(frame as never),
        close: (socket, code, reason) => socket.data.ended(code, reason),
      },
    }) as Server<unknown>;
    this.port = this.#server.port!;
  }

  /** The next stream that was opened. */
  async accept<S>(): Promise<S> {
    while (this.#streams.length === 0) await new Promise<void>((resolve) => this.#waiting.push(resolve));
    return this.#streams.shift() as S;
  }

  /** A produce stream, opened. */
  async produce(opened: { instance?: string; known?: boolean; limits?: Partial<Limits> } = {}) {
    const stream = await this.accept<ProduceStream>();
    const open = await stream.expect("open");
    stream.send({
      oneofKind: "opened",
      opened: {
        instance: opened.instance ?? "one",
        known: opened.known ?? false,
        lastSeq: 0,
        limits: { ...LIMITS, ...opened.limits },
      },
    });
    return { stream, open };
  }

  /** A consume stream, opened. */
  async consume(opened: { holder?: boolean; limits?: Partial<Limits> } = {}) {
    const stream = await this.accept<ConsumeStream>();
    const open = await stream.expect("open");
    const limits = { ...LIMITS, maxInFlight: 64, ...opened.limits };
    stream.send({ oneofKind: "opened", opened: { instance: "one", holder: opened.holder ?? true, limits } });
    return { stream, open };
  }

  stop(): Promise<void> {
    return this.#server.stop(true);
  }
}

/** The messages of an encoded batch as [id, text]. */
export function messagesOf(batch: Uint8Array): [number, string][] {
  const reader = new BatchReader(batch);
  const messages: [number, string][] = [];
  while (reader.next()) messages.push([reader.id, reader.text()]);
  return messages;
}

/** An encoded batch of messages with ids from `first` on and the bodies given. */
export function batchOf(first: number, bodies: readonly string[]): Uint8Array {
  const writer = new BatchWriter();
  for (const [index, body] of bodies.entries()) writer.add(first + index, body);
  return writer.seal().messages.slice();
}

/**
 * Answers a pull with messages of consecutive offsets that equal their positions; `deliveries`, if it is given, is
 * how many of their earlier ones count.
 */
export function deliver(
  stream: ConsumeStream,
  pullId: number,
  firstPosition: number,
  bodies: readonly string[],
  deliveries?: number,
): void {
  const again = { redelivered: deliveries !== undefined, deliveries: deliveries ?? 0 };
  stream.send({
    oneofKind: "delivered",
    delivered: {
      pullId,
      firstPosition,
      runs: [{ firstOffset: firstPosition, count: bodies.length, ...again }],
      messages: batchOf(firstPosition, bodies),
    },
  });
}

/** What a promise rejects with. */
export async function failure(
  promise: Promise<unknown>,
): Promise<Error & { code?: string; cause?: unknown }> {
  try {
    await promise;
  } catch (thrown) {
    return thrown as Error;
  }
  throw new Error("it did not reject");
}
