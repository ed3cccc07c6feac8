/**
 * A TCP proxy that breaks connections on purpose: it cuts after so many bytes of one direction, delays, or
 * goes silent without closing (half-open).
 */
import { connect, createServer, type Server, type Socket } from "node:net";

/** To the server, or back to the client. */
export type Direction = "up" | "down";

/** What happens to one connection. */
export interface Fate {
  /** Cut when exactly so many bytes of a direction were passed on; or passed nothing on from there. */
  cut?: { direction: Direction; after: number; how: "reset" | "end" | "silence" };
  /** Every piece of either direction comes so much later, in ms. */
  delayMs?: number;
}

/** One connection through the proxy. Always holds: pieces of one direction keep their order. */
export class ProxiedLink {
  readonly passed = { up: 0, down: 0 };
  readonly #client: Socket;
  readonly #server: Socket;
  readonly #fate: Fate;
  readonly #held: { to: Socket; bytes: Buffer }[] = [];
  #frozen = false;
  #frozenDown = false;
  /** The last bytes are on their way out, and nothing follows them. */
  #cutting = false;
  closed = false;

  constructor(client: Socket, server: Socket, fate: Fate, wasCut: () => void) {
    this.#client = client;
    this.#server = server;
    this.#fate = fate;
    this.#wasCut = wasCut;
    for (const socket of [client, server]) {
      socket.setNoDelay(true);
      socket.on("error", () => this.#end());
      socket.on("close", () => this.#end());
    }
    client.on("data", (bytes: Buffer) => this.#pass("up", server, bytes));
    server.on("data", (bytes: Buffer) => this.#pass("down", client, bytes));
    client.on("end", () => this.#later(() => server.end()));
    server.on("end", () => this.#later(() => client.end()));
  }
  readonly #wasCut: () => void;

  /** Nothing more happens to it than it has seen so far. */
  spare(): void {
    this.#fate.cut = undefined;
  }

  /** Stops passing anything on; nobody is told. */
  freeze(): void {
    this.#frozen = true;
  }

  /** Stops passing on what the server sends. */
  freezeDown(): void {
    this.#frozenDown = true;
  }

  /** Reads no more of what the server sends: its buffers fill up. */
  pauseDown(): void {
    this.#server.pause();
  }

  resumeDown(): void {
    this.#server.resume();
  }

  /** Passes on what came meanwhile, and all that follows. */
  thaw(): void {
    this.#frozen = false;
    this.#frozenDown = false;
    for (const { to, bytes } of this.#held.splice(0)) if (!to.destroyed) to.write(bytes);
  }

  /** Ends both sides at once: with a reset, or as if the other side had ended. */
  cut(how: "reset" | "end" | "silence" = "reset"): void {
    if (this.closed) return;
    this.#wasCut();
    this.closed = true;
    for (const socket of [this.#client, this.#server]) {
      if (how === "reset") socket.resetAndDestroy();
      else socket.destroy();
    }
  }

  #pass(direction: Direction, to: Socket, bytes: Buffer): void {
    if (this.closed || this.#cutting) return;
    const { cut } = this.#fate;
    const room = cut?.direction === direction ? cut.after - this.passed[direction] : Number.POSITIVE_INFINITY;
    const piece = bytes.length > room ? bytes.subarray(0, room) : bytes;
    this.passed[direction] += piece.length;
    if (piece.length < bytes.length || this.passed[direction] === cut?.after) {
      this.#fate.cut = undefined;
      if (cut?.how === "silence") {
        this.freeze();
        to.write(piece);
        return;
      }
      this.#cutting = true;
      // What was passed on must be out before the end: a reset would overtake it.
      if (piece.length === 0) this.cut(cut?.how);
      else to.write(piece, () => this.cut(cut?.how));
      return;
    }
    if (this.#frozen || (this.#frozenDown && direction === "down")) this.#held.push({ to, bytes: piece });
    else this.#later(() => to.write(piece));
  }

  #later(act: () => void): void {
    const { delayMs = 0 } = this.#fate;
    if (delayMs === 0) act();
    else setTimeout(() => this.closed || act(), delayMs);
  }

  #end(): void {
    if (this.#cutting) return this.cut();
    if (this.closed || this.#frozen || this.#frozenDown) return;
    this.closed = true;
    this.#client.destroy();
    this.#server.destroy();
  }
}

/** A proxy to one port of this machine. */
export class FaultProxy {
  readonly links: ProxiedLink[] = [];
  /** Connections that were cut. */
  cuts = 0;
  port = 0;
  /** What happens to the next connections. */
  fate: () => Fate = () => ({});
  readonly #server: Server;

  private constructor(target: () => number) {
    this.#server = createServer((client) => {
      const server = connect({ host: "127.0.0.1", port: target() });
      const link = new ProxiedLink(client, server, this.fate(), () => {
        this.cuts += 1;
      });
      this.links.push(link);
    });
  }

  /** A proxy in front of `target()`, on a port of its own. */
  static async to(target: () => number): Promise<FaultProxy> {
    const proxy = new FaultProxy(target);
    await new Promise<void>((resolve) => proxy.#server.listen(0, "127.0.0.1", resolve));
    proxy.port = (proxy.#server.address() as { port: number }).port;
    return proxy;
  }

  /** Cuts no connection any more, not even those that were to be cut. */
  spareAll(): void {
    this.fate = () => ({});
    for (const link of this.links) link.spare();
  }

  /** The connection that came last. */
  get last(): ProxiedLink {
    return this.links.at(-1)!;
  }

  /** Ends all connections, and the proxy. */
  async [Symbol.asyncDispose](): Promise<void> {
    for (const link of this.links) link.cut();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}
