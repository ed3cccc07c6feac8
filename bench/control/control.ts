/** The control as a subject: a message is sent, and acknowledged by coming back. */
import { join } from "node:path";
import type { Bodies } from "../harness/bodies.ts";
import { freePort, ServerProcess } from "../harness/server-process.ts";
import type { BenchProducer, Client, RunningServer, Subject, Target } from "../harness/subject.ts";

/** As the targets say: the echo has 32 frames in flight. */
const FRAMES_IN_FLIGHT = 32;

export const control: Subject = {
  key: "control",
  name: "control (bare WebSocket echo)",
  role: "control",
  promise: "every frame comes back",
  client: "the runtime's own WebSocket client; ws in Node",
  abilities: {},
  runtimes: ["bun", "node"],
  find: async () => ({ version: `Bun ${Bun.version}` }),
  start,
  connect: async (target) => new EchoClient(target),
};

async function start(): Promise<RunningServer> {
  const port = await freePort();
  const program = join(import.meta.dir, "echo-server.ts");
  const server = new ServerProcess([process.execPath, "--no-env-file", program, String(port)]);
  await server.listens(port);
  return {
    port,
    pids: [server.pid],
    command: "bun bench/control/echo-server.ts PORT",
    stop: () => server.stop(),
  };
}

class EchoClient implements Client {
  readonly #target: Target;

  constructor(target: Target) {
    this.#target = target;
  }

  async producer(): Promise<BenchProducer> {
    const socket = await openSocket(`ws://${this.#target.host}:${this.#target.port}/`);
    return new EchoProducer(socket);
  }

  async close(): Promise<void> {}
}

/** What both runtimes' clients have. */
interface EchoSocket {
  send(frame: Uint8Array): void;
  close(): void;
  onEcho: (bytes: number) => void;
}

class EchoProducer implements BenchProducer {
  readonly window = FRAMES_IN_FLIGHT;
  readonly #socket: EchoSocket;
  /** Of frames on their way, oldest first: frames come back in order. */
  readonly #waiting: ((bytes: number) => void)[] = [];

  constructor(socket: EchoSocket) {
    this.#socket = socket;
    socket.onEcho = (bytes) => this.#waiting.shift()?.(bytes);
  }

  /** Always the same frame: what it costs to make one is no part of the limit. */
  send(bodies: Bodies): Promise<unknown> {
    return new Promise<void>((resolve, reject) => {
      this.#waiting.push((bytes) => {
        if (bytes === bodies.size) resolve();
        else reject(new Error(`an echo of ${bytes} bytes, of ${bodies.size}`));
      });
      this.#socket.send(bodies.bytes(0));
    });
  }

  async close(): Promise<void> {
    this.#socket.close();
  }
}

async function openSocket(url: string): Promise<EchoSocket> {
  return process.versions.bun === undefined ? await openWithWs(url) : await openWithBun(url);
}

function openWithBun(url: string): Promise<EchoSocket> {
  const socket = new WebSocket(url);
  socket.binaryType = "arraybuffer";
  const echo: EchoSocket = {
    send: (frame) => socket.send(frame as Uint8Array<ArrayBuffer>),
    close: () => socket.close(),
    onEcho: () => {},
  };
  socket.onmessage = ({ data }: MessageEvent<ArrayBuffer>) => echo.onEcho(data.byteLength);
  return new Promise((resolve, reject) => {
    socket.onopen = () => resolve(echo);
    socket.onerror = () => reject(new Error("the echo is not there"));
  });
}

async function openWithWs(url: string): Promise<EchoSocket> {
  const { WebSocket: NodeSocket } = await import("ws");
  const socket = new NodeSocket(url, { perMessageDeflate: false });
  const echo: EchoSocket = {
    send: (frame) => socket.send(frame),
    close: () => socket.close(),
    onEcho: () => {},
  };
  socket.on("message", (data: Buffer) => echo.onEcho(data.length));
  return new Promise((resolve, reject) => {
    socket.once("open", () => resolve(echo));
    socket.once("error", reject);
  });
}
