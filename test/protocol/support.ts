/** What tests of the wire share: a server under a clock of their own, and clients that speak bytes. */
import type { JsonValue } from "@protobuf-ts/runtime";
import type { ServerOptions } from "../../src/server/index.ts";
import { TinyMQServer } from "../../src/server/index.ts";
import { FakeClock } from "../support/fake-clock.ts";

/** Longest wait for what must happen anyhow, in ms of the machine's clock. */
const DEADLINE_MS = 4_000;

export const fromHex = (hex: string): Uint8Array<ArrayBuffer> => {
  const digits = hex.replaceAll(/\s/g, "");
  return Uint8Array.from({ length: digits.length / 2 }, (_, at) =>
    Number.parseInt(digits.slice(2 * at, 2 * at + 2), 16),
  );
};
export const toHex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");

/** Resolves once `condition` holds; throws, naming `what`, if it does not in time. */
export async function until(condition: () => boolean | Promise<boolean>, what: string): Promise<void> {
  const deadline = performance.now() + DEADLINE_MS;
  while (!(await condition())) {
    if (performance.now() > deadline) throw new Error(`not in time: ${what}`);
    await Bun.sleep(1);
  }
}

/** A server on a free port of 127.0.0.1 with a clock of its own and a log that can be read. */
export interface TestServer extends AsyncDisposable {
  readonly clock: FakeClock;
  readonly log: string[];
  readonly port: number;
  stop(): Promise<void>;
  /** A unary call of the Admin service, as anybody could make it. Rejects where it is not answered with 200. */
  admin(method: string, request?: object): Promise<Record<string, JsonValue>>;
  /** Resolves once the server has so many connections. */
  connections(count: number): Promise<void>;
}

export async function startServer(options: ServerOptions = {}, clock = new FakeClock()): Promise<TestServer> {
  const log: string[] = [];
  const write = (level: string) => (line: string) => void log.push(`${level} ${line}`);
  const logger = { debug: write("debug"), info: write("info"), warn: write("warn"), error: write("error") };
  const server = new TinyMQServer({ ...options, clock, logger });
  await server.start("127.0.0.1", 0);
  const stop = () => server.stop();
  const { port } = server;
  const admin = (method: string, request: object = {}) => callAdmin(port, options.token, method, request);
  const connections = (count: number) =>
    until(async () => (await admin("GetStatus")).connections === count, `${count} connections`);
  return { clock, log, port, stop, admin, connections, [Symbol.asyncDispose]: stop };
}

async function callAdmin(port: number, token: string | undefined, method: string, request: object) {
  const response = await fetch(`http://127.0.0.1:${port}/twirp/tinymq.v1.Admin/${method}`, {
    method: "POST",
    headers: { "Content-Type": "application/json", Authorization: `Bearer ${token ?? ""}` },
    body: JSON.stringify(request),
  });
  if (response.status !== 200) throw new Error(`${method}: ${response.status} ${await response.text()}`);
  return (await response.json()) as Record<string, JsonValue>;
}

export interface WireOptions {
  readonly protocol?: string;
  readonly headers?: Record<string, string>;
}

/** How a connection ended. */
export interface Closed {
  readonly code: number;
  readonly reason: string;
}

/** One WebSocket whose frames are sent and read as bytes. */
export class Wire {
  readonly frames: Uint8Array[] = [];
  closed: Closed | null = null;
  readonly socket: WebSocket;

  private constructor(socket: WebSocket) {
    this.socket = socket;
    socket.binaryType = "arraybuffer";
    socket.onmessage = (event: MessageEvent) =>
      void this.frames.push(new Uint8Array(event.data as ArrayBuffer));
    socket.onclose = (event) => {
      this.closed = { code: event.code, reason: event.reason };
    };
  }

  /** Connects; throws if the handshake is refused. */
  static async open(port: number, path: string, options: WireOptions = {}): Promise<Wire> {
    const { protocol, headers } = options;
    const init = { headers, ...(protocol === undefined ? {} : { protocols: [protocol] }) };
    const socket = new WebSocket(`ws://127.0.0.1:${port}${path}`, init as never);
    const wire = new Wire(socket);
    await until(
      () => socket.readyState === WebSocket.OPEN || wire.closed !== null,
      `a connection to ${path}`,
    );
    return wire;
  }

  send(frame: string | Uint8Array): this {
    this.socket.send((typeof frame === "string" ? fromHex(frame) : frame) as Uint8Array<ArrayBuffer>);
    return this;
  }

  /** The next frame that was not read yet. */
  async next(): Promise<Uint8Array> {
    await until(() => this.frames.length > 0 || this.closed !== null, "a frame");
    const frame = this.frames.shift();
    if (frame === undefined) throw new Error(`closed instead: ${this.closed?.code} ${this.closed?.reason}`);
    return frame;
  }

  async nextHex(): Promise<string> {
    return toHex(await this.next());
  }

  /** The end of the connection, once it is there. */
  async end(): Promise<Closed> {
    await until(() => this.closed !== null, "the end of a connection");
    return this.closed!;
  }

  /** Closes with 1000 and waits for the answer. */
  async close(code = 1000): Promise<Closed> {
    this.socket.close(code);
    return this.end();
  }

  /** Ends the connection without a close frame. */
  terminate(): void {
    (this.socket as unknown as { terminate(): void }).terminate();
  }
}
