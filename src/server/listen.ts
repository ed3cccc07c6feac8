/** Listens on one port: with one Bun server, or for `localhost` with one on each of the two loopback addresses. */
import type { Server, TLSOptions, WebSocketHandler } from "bun";
import { messageOf, TinyMQError } from "../errors.ts";
import { MiB } from "../wire/limits.ts";
import { readSmallFile } from "./files.ts";

const MAX_PEM_BYTES = MiB;

/** Attempts to find a port that is free on both loopback addresses. */
const PORT_TRIES = 20;

export interface ListenOptions<Data> {
  readonly tls: TLSOptions | undefined;
  readonly fetch: (
    request: Request,
    server: Server<Data>,
  ) => Response | undefined | Promise<Response | undefined>;
  /** Called with what `fetch` throws; the client gets a 500. */
  readonly failed: (error: unknown) => void;
  readonly websocket: WebSocketHandler<Data>;
}

export interface Listeners {
  readonly host: string;
  readonly port: number;
  readonly addresses: readonly string[];
  /** Sends a frame to all subscribers of a topic. */
  publish(topic: string, frame: Uint8Array): void;
  /** Stops accepting connections. */
  refuse(): void;
  /** Closes the remaining connections and frees the port. */
  close(): Promise<void>;
}

/** Throws ALREADY_EXISTS if the port is in use, PERMISSION_DENIED or INVALID_ARGUMENT if it cannot be bound. */
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
      // The promise is pending until the last socket closes, which `close` takes care of.
      for (const server of servers) void server.stop();
    },
    async close() {
      await Promise.all(servers.map((server) => server.stop(true)));
    },
  };
}

/**
 * Reads a certificate and its key from PEM files; undefined (no TLS) if both are "". Throws INVALID_ARGUMENT
 * for one without the other, and for a file that cannot be read.
 */
export function readTls(certFile: string, keyFile: string): { cert: string; key: string } | undefined {
  if (certFile === "" && keyFile === "") return undefined;
  if (certFile === "" || keyFile === "") {
    throw new TinyMQError("INVALID_ARGUMENT", "tls-cert and tls-key must be given together");
  }
  return { cert: readPem(certFile, "tls-cert"), key: readPem(keyFile, "tls-key") };
}

function readPem(path: string, what: string): string {
  const text = readSmallFile(path, what, MAX_PEM_BYTES);
  // Bun would listen without TLS if it were given an empty file.
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
      // A machine without IPv6 has only one loopback address.
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
      // Otherwise another Bun could listen on the same port and would silently get half of the connections.
      reusePort: false,
      fetch: options.fetch,
      error(error) {
        options.failed(error);
        return new Response("unexpected error; the server's log has the stack trace\n", { status: 500 });
      },
      // `RequestBodies` bounds bodies, and says why it refuses one.
      maxRequestBodySize: Number.MAX_SAFE_INTEGER,
      websocket: options.websocket,
      // Clients must not see stack traces.
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
      `port ${port} on ${hostname} is in use: stop the program that uses it, or choose another port`,
      { cause },
    );
  }
  if (code === "EACCES" || code === "EPERM") {
    return new TinyMQError(
      "PERMISSION_DENIED",
      `no permission to listen on port ${port} of ${hostname}: choose one above 1023`,
      { cause },
    );
  }
  const why = messageOf(cause);
  return new TinyMQError("INVALID_ARGUMENT", `cannot listen on ${hostname}:${port}: ${why}`, { cause });
}
