/** Routes each request: WebSocket handshakes, unary calls, health checks; anything else is refused. */
import type { Server } from "bun";
import { TinyMQError } from "../errors.ts";
import type { OpenSession } from "../session/frame-socket.ts";
import type { Principal } from "../session/principal.ts";
import { SUBPROTOCOL } from "../wire/limits.ts";
import type { Place } from "./admission.ts";
import { isLoopback, refusal } from "./auth/origin.ts";
import type { ConnectionData } from "./bun-socket.ts";
import type { Core } from "./core.ts";
import { TWIRP_PREFIX, twirpError } from "./twirp-error.ts";

export interface HttpHost {
  /** Null until it is loaded. */
  readonly core: Core | null;
  loadCore(): Promise<Core>;
  readonly stopping: boolean;
  readonly allowOrigin: readonly string[];
  authenticate(token: string): Principal | null;
  /** Logs why a request was refused, rate-limited. */
  refused(why: string): void;
}

/** Paths of streams: `/package.Service/` and the name of the method. */
const STREAM_PREFIX = "/tinymq.v1.TinyMQ/";

/** The only version of the WebSocket protocol (source: RFC 6455). */
const VERSION = "13";

/** A version of the protocol: its sessions, and what the answer to a handshake has. */
interface Version {
  readonly open: OpenSession;
  readonly headers: Record<string, string>;
}

/** Undefined: the request became a WebSocket. */
type Answer = Response | undefined | Promise<Response | undefined>;

/** Answers one request; undefined when it became a WebSocket. */
export function handleRequest(host: HttpHost, request: Request, server: Server<ConnectionData>): Answer {
  if (host.stopping) return stopping();
  const why = refusal(request, isLoopback(server.hostname ?? ""), host.allowOrigin);
  if (why !== null) {
    host.refused(why);
    return text(403, why);
  }
  const path = new URL(request.url).pathname;
  if (request.headers.get("upgrade")?.toLowerCase() === "websocket")
    return upgrade(host, request, server, path);
  if (path.startsWith(TWIRP_PREFIX)) return unary(host, request, path);
  if (path === "/health") return text(200, "ok");
  if (path.startsWith(STREAM_PREFIX)) {
    const what = `this is the path of a stream: connect with a WebSocket that offers the subprotocol ${SUBPROTOCOL}`;
    return text(426, `${what}; see docs/protocol.md`, { Connection: "Upgrade", Upgrade: "websocket" });
  }
  return text(404, "tinyMQ: nothing here. Clients connect with a WebSocket; see docs/protocol.md");
}

function unary(host: HttpHost, request: Request, path: string): Answer {
  const token = /^bearer (.*)$/i.exec(request.headers.get("authorization") ?? "")?.[1];
  const principal = host.authenticate(token ?? "");
  if (principal === null) {
    return twirpError(
      new TinyMQError(
        "UNAUTHENTICATED",
        "the token is missing or wrong: send it as Authorization: Bearer TOKEN",
      ),
    );
  }
  return withCore(host, (core) => core.unary(principal, request, path));
}

function withCore(host: HttpHost, answer: (core: Core) => Answer): Answer {
  return host.core === null ? host.loadCore().then(answer) : answer(host.core);
}

/** Chooses the subprotocol: Bun would accept the first one that is offered, known or not. */
function upgrade(host: HttpHost, request: Request, server: Server<ConnectionData>, path: string): Answer {
  // A body would stay in memory while the handshake waits.
  if (request.method !== "GET") return text(400, "a WebSocket handshake must be a GET");
  if (request.headers.get("sec-websocket-version") !== VERSION)
    return text(426, `send Sec-WebSocket-Version: ${VERSION}`, { "Sec-WebSocket-Version": VERSION });
  const offered = request.headers.get("sec-websocket-protocol");
  if (offered === null) {
    return withCore(host, async (core) =>
      admit(host, core, request, server, path, { open: await core.v0(), headers: {} }),
    );
  }
  if (!offered.split(",").some((protocol) => protocol.trim() === SUBPROTOCOL)) {
    return text(
      400,
      `none of the offered subprotocols (${offered}) is known: use ${SUBPROTOCOL}, or none for the first version`,
    );
  }
  const headers = { "Sec-WebSocket-Protocol": SUBPROTOCOL };
  return withCore(host, (core) => admit(host, core, request, server, path, { open: core.v1, headers }));
}

/** Completes a handshake, as soon as there is a place for the connection. */
function admit(
  host: HttpHost,
  { admission }: Core,
  request: Request,
  server: Server<ConnectionData>,
  path: string,
  { open, headers }: Version,
): Answer {
  if (!admission.hasRoom) return text(503, "the server has reached its limit of connections");
  const complete = (place: Place) => {
    // The stop may have begun while the core was loaded, or while the handshake waited: it ends open streams only.
    if (host.stopping) {
      admission.leave(place);
      return stopping();
    }
    const data: ConnectionData = { path: decodePath(path), open, place, connection: null };
    if (server.upgrade(request, { data, headers })) return undefined;
    admission.leave(place);
    return text(400, "the request is not a valid WebSocket handshake");
  };
  const place = admission.enter();
  return place instanceof Promise ? place.then(complete) : complete(place);
}

function stopping(): Response {
  return text(503, "the server is stopping");
}

function decodePath(path: string): string {
  try {
    return decodeURIComponent(path);
  } catch {
    // Not percent-encoded UTF-8: the path is taken as it is.
    return path;
  }
}

function text(status: number, body: string, headers: Record<string, string> = {}): Response {
  const type = { "Content-Type": "text/plain; charset=utf-8" };
  return new Response(`${body}\n`, { status, headers: { ...type, ...headers } });
}
