/** A WebSocket client written out by hand over TCP: for what no well-behaved client would send. */
import type { Socket } from "bun";
import { until } from "./support.ts";

/** A frame as it came: its first byte (FIN, RSV, opcode) and its payload. */
export interface RawFrame {
  readonly head: number;
  readonly payload: Buffer;
}

export const OPCODE = { text: 1, binary: 2, close: 8, ping: 9, pong: 10 } as const;

export class RawSocket {
  /** The status line and headers of the server's answer. */
  response = "";
  readonly frames: RawFrame[] = [];
  /** The server ended the TCP connection. */
  ended = false;
  #input = Buffer.alloc(0);
  #socket: Socket | null = null;

  /** Connects and sends a request; lines are `Name: value`. Resolves with the answer's headers there. */
  static async open(
    port: number,
    path: string,
    lines: readonly string[] = [],
    host?: string,
  ): Promise<RawSocket> {
    const raw = new RawSocket();
    raw.#socket = await Bun.connect({
      hostname: "127.0.0.1",
      port,
      socket: {
        data: (_socket, bytes) => raw.#take(bytes),
        end: () => raw.#end(),
        close: () => raw.#end(),
        error: () => raw.#end(),
      },
    });
    const request = [
      `GET ${path} HTTP/1.1`,
      `Host: ${host ?? `127.0.0.1:${port}`}`,
      "Upgrade: websocket",
      "Connection: Upgrade",
      "Sec-WebSocket-Version: 13",
      "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
      ...lines,
    ];
    raw.#socket.write(`${request.join("\r\n")}\r\n\r\n`);
    return raw;
  }

  get status(): number {
    return Number(this.response.split(" ")[1] ?? 0);
  }

  async answered(): Promise<this> {
    await until(() => this.response !== "" || this.ended, "an answer to the handshake");
    return this;
  }

  /** Sends one whole frame, masked unless told otherwise. */
  send(opcode: number, payload: Uint8Array, masked = true): void {
    const mask = masked ? [1, 2, 3, 4] : [];
    const length =
      payload.length < 126
        ? [payload.length]
        : payload.length < 65_536
          ? [126, payload.length >> 8, payload.length & 0xff]
          : [127, 0, 0, 0, 0, ...[24, 16, 8, 0].map((shift) => (payload.length >>> shift) & 0xff)];
    length[0]! |= masked ? 0x80 : 0;
    const body = masked ? payload.map((byte, at) => byte ^ mask[at % 4]!) : payload;
    this.write(Buffer.concat([Uint8Array.of(0x80 | opcode, ...length, ...mask), body]));
  }

  write(bytes: Uint8Array): void {
    this.#socket?.write(bytes);
  }

  /** The next frame that was not read yet. */
  async next(): Promise<RawFrame> {
    await until(() => this.frames.length > 0 || this.ended, "a frame");
    const frame = this.frames.shift();
    if (frame === undefined) throw new Error("the connection ended instead");
    return frame;
  }

  /** Cuts the connection, without a close frame. */
  cut(): void {
    this.#socket?.terminate();
  }

  #end(): void {
    this.ended = true;
  }

  #take(bytes: Uint8Array): void {
    this.#input = Buffer.concat([this.#input, bytes]);
    if (this.response === "") {
      const end = this.#input.indexOf("\r\n\r\n");
      if (end < 0) return;
      this.response = this.#input.subarray(0, end).toString();
      this.#input = this.#input.subarray(end + 4);
    }
    while (this.#takeFrame()) {
      // Each step takes one frame.
    }
  }

  #takeFrame(): boolean {
    const input = this.#input;
    if (this.status !== 101 || input.length < 2) return false;
    const short = input[1]! & 0x7f;
    const start = short === 126 ? 4 : short === 127 ? 10 : 2;
    if (input.length < start) return false;
    const length =
      short === 126 ? input.readUInt16BE(2) : short === 127 ? Number(input.readBigUInt64BE(2)) : short;
    if (input.length < start + length) return false;
    this.frames.push({ head: input[0]!, payload: Buffer.from(input.subarray(start, start + length)) });
    this.#input = input.subarray(start + length);
    return true;
  }
}
