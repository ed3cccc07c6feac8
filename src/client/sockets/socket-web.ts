/** Client sockets on the global WebSocket, in browsers and in Bun. */
import { CLOSE_ABNORMAL, closeCodeOf } from "../../wire/close.ts";
import type { ClientSocket, OpenSocket, SocketEvents, TlsOptions } from "./socket.ts";

/** What Bun takes as second argument, where browsers take protocols only. */
interface BunSocketOptions {
  protocols: string;
  perMessageDeflate: boolean;
  tls?: TlsOptions;
}

/** Opens the runtime's own WebSocket. Bun tries both address families of `localhost` by itself. */
export const openWebSocket: OpenSocket = (url, protocol, tls, events) => {
  const socket = construct(url, protocol, tls);
  socket.binaryType = "arraybuffer";
  let detail = "";
  socket.onopen = () => events.open();
  socket.onerror = (event) => {
    detail = (event as ErrorEvent).message ?? "";
  };
  socket.onclose = (event) => events.close(event.code, event.reason, detail);
  socket.onmessage = (event: MessageEvent<unknown>) => {
    if (event.data instanceof ArrayBuffer) events.frame(new Uint8Array(event.data));
    else refuseText(socket, events);
  };
  return wrap(socket);
};

function construct(url: string, protocol: string, tls: TlsOptions | undefined): WebSocket {
  if (!("Bun" in globalThis)) return new WebSocket(url, protocol);
  const options: BunSocketOptions = { protocols: protocol, perMessageDeflate: false };
  if (tls !== undefined) options.tls = tls;
  return new WebSocket(url, options as unknown as string);
}

function wrap(socket: WebSocket): ClientSocket {
  return {
    send: (bytes) => socket.send(bytes),
    close: (code, reason) => socket.close(code, reason),
    terminate() {
      silence(socket);
      // Browsers have no way to drop a connection without the handshake; Bun has.
      const hard = (socket as { terminate?: () => void }).terminate;
      if (hard !== undefined) hard.call(socket);
      else socket.close();
    },
  };
}

function refuseText(socket: WebSocket, events: SocketEvents): void {
  silence(socket);
  socket.close(closeCodeOf("INVALID_ARGUMENT"), "frames are binary");
  events.close(CLOSE_ABNORMAL, "", "the server sent a text frame");
}

function silence(socket: WebSocket): void {
  socket.onopen = null;
  socket.onerror = null;
  socket.onclose = null;
  socket.onmessage = null;
}
