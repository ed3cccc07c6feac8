/** Bun's servers behind one host name: `localhost` means both loopback addresses, each with its own. */
import type { Server, TLSOptions, WebSocketHandler } from "bun";
import { TinyMQError } from "../errors.ts";
import { MiB } from "../wire/limits.ts";
import { readSmallFile } from "./files.ts";

const MAX_PEM_BYTES = MiB;

/** How often a free port is looked for that is free on both loopback addresses. */
const PORT_TRIES = 20;

export interface ListenOptions<Data> {
  readonly tls: TLSOptions | undefined;
  readonly fetch: (
    request: Request,
    server: Server<Data>,
  ) => Response | undefined | Promise<Response | undefined>;
  /** Told of what `fetch` throws; the client gets a 500. */
  readonly failed: (error: unknown) => void;
  readonly websocket: WebSocketHandler<Data>;
}

export interface Listeners {
  readonly host: string;
  readonly port: number;
  readonly addresses: readonly string[];
  /** Hands a frame to all subscribers of a topic. */
  publish(topic: string, frame: Uint8Array): void;
  /** Takes no further connection. */
  refuse(): void;
  /** Closes what is left, and gives the port back. */
  close(): Promise<void>;
}

/** Throws ALREADY_EXISTS if the port is taken, PERMISSION_DENIED or INVALID_ARGUMENT if it cannot be had. */
export function listen<Data>(host: string, port: number, options: ListenOptions<Data>): Listeners {
  const servers = host === "localhost" ? listenOnLoopbacks(port, options) : [listenOn(host, port, options)];
  return {
    host,
    port: servers[0]!.port!,
    addresses: servers.map((server) => server.hostname!),
    publish(topic, frame) {
      for (const server of servers) server.publish(topic, frame);
    },
    refuse() {
      // Pending until the last socket closes, which `close` sees to.
      for (const server of servers) void server.stop();
    },
    async close() {
      await Promise.all(servers.map((server) => server.stop(true)));
    },
  };
}

/**
 * A certificate and its key from the PEM files that the options name; "": no TLS. Throws INVALID_ARGUMENT for one
 * without the other, and for a file that cannot be read.
 */
export function readTls(certFile: string, keyFile: string): { cert: string; key: string } | undefined {
  if (certFile === "" && keyFile === "") return undefined;
  if (certFile === "" || keyFile === "") {
    throw new TinyMQError("INVALID_ARGUMENT", "tls-cert and tls-key are given together, or not at all");
  }
  return { cert: readPem(certFile, "tls-cert"), key: readPem(keyFile, "tls-key") };
}

function readPem(path: string, what: string): string {
  const text = readSmallFile(path, what, MAX_PEM_BYTES);
  // Bun would listen without TLS.
  if (text.trim() === "") throw new TinyMQError("INVALID_ARGUMENT", `${what}: ${path} is empty`);
  return text;
}

function listenOnLoopbacks<Data>(port: number, options: ListenOptions<Data>): Server<Data>[] {
  for (let tries = 1; ; tries++) {
    const first = listenOn("127.0.0.1", port, options);
    try {
      return [first, listenOn("::1", first.port!, options)];
    } catch (error) {
      const taken = error instanceof TinyMQError && error.code === "ALREADY_EXISTS";
      // A machine without IPv6 has one loopback address.
      if (!taken) return [first];
      void first.stop(true);
      if (port !== 0 || tries >= PORT_TRIES) throw error;
    }
  }
}

function listenOn<Data>(hostname: string, port: number, options: ListenOptions<Data>): Server<Data> {
  try {
    return Bun.serve<Data>({
      hostname,
      port,
      tls: options.tls,
      // Else another Bun that listens here gets half of the connections, and nobody is told.
      reusePort: false,
      fetch: options.fetch,
      error(error) {
        options.failed(error);
        return new Response("unexpected error; the server's log has the stack trace\n", { status: 500 });
      },
      // Bodies are bounded where they are read, and refused with an answer that says why.
      maxRequestBodySize: Number.MAX_SAFE_INTEGER,
      websocket: options.websocket,
      // A stack trace is not for clients.
      development: false,
    });
  } catch (cause) {
    throw listenError(hostname, port, cause);
  }
}

function listenError(hostname: string, port: number, cause: unknown): TinyMQError {
  const code = (cause as { code?: string }).code;
  if (code === "EADDRINUSE") {
    return new TinyMQError(
      "ALREADY_EXISTS",
      `port ${port} on ${hostname} is in use: stop what uses it, or choose another with --port`,
      { cause },
    );
  }
  if (code === "EACCES" || code === "EPERM") {
    return new TinyMQError(
      "PERMISSION_DENIED",
      `port ${port} on ${hostname} may not be used: choose one above 1023`,
      { cause },
    );
  }
  const why = cause instanceof Error ? cause.message : String(cause);
  return new TinyMQError("INVALID_ARGUMENT", `cannot listen on ${hostname}:${port}: ${why}`, { cause });
}
