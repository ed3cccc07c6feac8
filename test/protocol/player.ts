/** Plays a conversation of docs/protocol-vectors.json against a real server whose clock it moves. */
import { expect } from "bun:test";
import { isDeepStrictEqual } from "node:util";
import type { JsonValue } from "@protobuf-ts/runtime";
import { startServer, type TestServer, toHex, until, Wire } from "./support.ts";
import { type ConversationVector, type Step, typeNamed } from "./vectors.ts";

/** First bytes of v1 frames that a client sets aside wherever they come, by the path of their stream. */
const HEARTBEATS: Readonly<Record<string, number>> = {
  "/tinymq.v1.TinyMQ/Produce": 0x22,
  "/tinymq.v1.TinyMQ/Consume": 0x32,
};
const SETTLED = 0x3a;
/** After so many ms the server tells what was settled. */
const SETTLED_AFTER_MS = 5;

/** One stream of a conversation. */
interface Stream {
  readonly path: string;
  readonly wire: Wire;
  /** The last settled frame that was set aside. */
  settled: string;
  /** Of its opened frame. */
  instance: string;
}

export class Player {
  readonly #options: ConversationVector["options"];
  readonly #streams = new Map<string, Stream>();
  #server: TestServer;

  private constructor(server: TestServer, options: ConversationVector["options"]) {
    this.#server = server;
    this.#options = options;
  }

  /** Plays all of it on a server of its own; throws at the first step that goes another way. */
  static async play({ options, steps }: ConversationVector): Promise<void> {
    const player = new Player(await startServer(options), options);
    try {
      for (const step of steps) await player.#step(step);
      for (const stream of player.#streams.values()) player.#expectNothingMore(stream);
    } finally {
      await player.#server.stop();
    }
  }

  async #step(step: Step): Promise<void> {
    if (step.restart === true) return this.#restart();
    if (step.wait !== undefined) return this.#server.clock.advance(step.wait);
    const name = step.stream!;
    if (step.connect !== undefined) {
      const wire = await Wire.open(this.#server.port, step.connect, { protocol: step.protocol });
      this.#streams.set(name, { path: step.connect, wire, settled: "", instance: "" });
      return;
    }
    const stream = this.#streams.get(name)!;
    const { wire } = stream;
    if (step.send !== undefined) wire.send(step.send);
    else if (step.sendLike !== undefined) wire.send(this.#encode(step.sendLike, step.json!));
    else if (step.receive !== undefined) expect(toHex(await this.#next(stream))).toBe(step.receive);
    else if (step.receiveLike !== undefined) await this.#expectLike(stream, step.receiveLike, step.json!);
    else if (step.settled !== undefined) await this.#expectSettled(stream, step.settled);
    else if (step.closed !== undefined) expect((await wire.end()).code).toBe(step.closed);
    else await this.#end(wire, step.close);
  }

  /** The client closes with `code`, or breaks the connection; returns once the server has seen it. */
  async #end(wire: Wire, code: number | undefined): Promise<void> {
    if (code === undefined) wire.terminate();
    else expect((await wire.close(code)).code).toBe(code);
    await until(() => wire.closed !== null, "the stream has ended");
    const open = [...this.#streams.values()].filter((stream) => stream.wire.closed === null).length;
    await this.#server.connections(open);
  }

  async #restart(): Promise<void> {
    await this.#server.stop();
    this.#server = await startServer(this.#options);
  }

  /** The next frame that is not set aside. */
  async #next(stream: Stream): Promise<Uint8Array> {
    for (;;) {
      const frame = await stream.wire.next();
      if (!this.#setAside(stream, frame)) return frame;
    }
  }

  #setAside(stream: Stream, frame: Uint8Array): boolean {
    if (frame[0] === HEARTBEATS[stream.path]) return true;
    if (frame[0] !== SETTLED || !stream.path.endsWith("/Consume")) return false;
    stream.settled = toHex(frame);
    return true;
  }

  /** The last settled frame is this one, now or a little later. */
  async #expectSettled(stream: Stream, wanted: string): Promise<void> {
    const { frames } = stream.wire;
    await until(() => {
      this.#server.clock.advance(SETTLED_AFTER_MS);
      while (frames.length > 0 && this.#setAside(stream, frames[0]!)) frames.shift();
      return stream.settled === wanted;
    }, `settled ${wanted}, after ${stream.settled}`);
  }

  #expectNothingMore(stream: Stream): void {
    const { frames } = stream.wire;
    while (frames.length > 0 && this.#setAside(stream, frames[0]!)) frames.shift();
    expect(frames.map(toHex)).toEqual([]);
  }

  #encode(type: string, json: JsonValue): Uint8Array {
    const text = JSON.stringify(json).replaceAll(
      /"\$(\w+)"/g,
      (_, name: string) => `"${this.#streams.get(name)!.instance}"`,
    );
    const message = typeNamed(type);
    return message.toBinary(message.fromJson(JSON.parse(text)));
  }

  async #expectLike(stream: Stream, type: string, wanted: JsonValue): Promise<void> {
    const message = typeNamed(type);
    const got = message.toJson(message.fromBinary(await this.#next(stream)));
    if (!isLike(got, wanted)) expect(got).toEqual(wanted);
    const { opened } = got as { opened?: { instance: string } };
    if (opened !== undefined) stream.instance = opened.instance;
  }
}

/** Whether they are equal, "*" standing for anything that is there. */
function isLike(got: JsonValue | undefined, wanted: JsonValue): boolean {
  if (wanted === "*") return got !== undefined;
  if (!isObject(got) || !isObject(wanted)) return isDeepStrictEqual(got, wanted);
  const keys = new Set([...Object.keys(got), ...Object.keys(wanted)]);
  return [...keys].every((key) => Object.hasOwn(wanted, key) && isLike(got[key], wanted[key]!));
}

function isObject(value: JsonValue | undefined): value is Record<string, JsonValue> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
