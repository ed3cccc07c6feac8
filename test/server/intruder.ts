/** Connections that mean harm, over TCP: many of them, that say nothing, half of something, or too much. */
import { connect, type Socket } from "node:net";
import { until } from "../proof/until.ts";

const HOST = "127.0.0.1";

export class Intruder {
  /** What came, as far as it was read. */
  received = Buffer.alloc(0);
  /** The server ended the connection. */
  ended = false;
  readonly #socket: Socket;

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.on("data", (bytes: Buffer) => {
      this.received = Buffer.concat([this.received, bytes]);
    });
    socket.on("end", () => this.#end());
    socket.on("close", () => this.#end());
    // Reset: the server ended it while bytes were on their way.
    socket.on("error", () => this.#end());
  }

  /** Connects and sends `text`. It keeps its half open when the server has closed the other. */
  static async open(port: number, text: string): Promise<Intruder> {
    const socket = connect({ host: HOST, port, allowHalfOpen: true });
    const intruder = new Intruder(socket);
    await until("a connection", () => !socket.connecting || intruder.ended);
    socket.write(text);
    return intruder;
  }

  /** With a WebSocket's handshake: answered, or with `wait` false not yet. */
  static async upgraded(port: number, path: string, protocol = "tinymq.v1", wait = true): Promise<Intruder> {
    const lines = [
      `GET ${path} HTTP/1.1`,
      `Host: ${HOST}:${port}`,
      "Upgrade: websocket",
      "Connection: Upgrade",
      "Sec-WebSocket-Version: 13",
      "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
      ...(protocol === "" ? [] : [`Sec-WebSocket-Protocol: ${protocol}`]),
    ];
    const intruder = await Intruder.open(port, `${lines.join("\r\n")}\r\n\r\n`);
    if (wait) await until("an answer to the handshake", () => intruder.received.length > 0 || intruder.ended);
    return intruder;
  }

  /** Whether the handshake was answered with 101. */
  get isUpgraded(): boolean {
    return this.received.subarray(0, 12).toString() === "HTTP/1.1 101";
  }

  /** Resolves once all of it is in the hands of the system. */
  async write(bytes: Uint8Array): Promise<void> {
    if (!this.ended) await new Promise((resolve) => this.#socket.write(bytes, resolve));
  }

  /** Reads nothing any more. */
  freeze(): void {
    this.#socket.pause();
  }

  cut(): void {
    this.#socket.destroy();
  }

  #end(): void {
    this.ended = true;
  }
}

/** The head of a masked frame; its mask is of zeros, so that the payload stands behind it as it is. */
export function frameHead(opcode: number, length: number): Buffer {
  const head = Buffer.alloc(14);
  head[0] = 0x80 | opcode;
  if (length < 126) {
    head[1] = 0x80 | length;
    return head.subarray(0, 6);
  }
  head[1] = 0x80 | 127;
  head.writeUInt32BE(length, 6);
  return head;
}

/** A whole frame with `payload`. */
export function frame(opcode: number, payload: Uint8Array): Buffer {
  return Buffer.concat([frameHead(opcode, payload.length), payload]);
}
