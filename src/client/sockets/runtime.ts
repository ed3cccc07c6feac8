/** Which sockets this runtime uses. The entry for Node sets it; everywhere else it is the global one. */
import type { OpenSocket } from "./socket.ts";
import { openWebSocket } from "./socket-web.ts";

let open: OpenSocket = openWebSocket;

/** Makes every connection from now on open its sockets so. */
export function useSockets(openSocket: OpenSocket): void {
  open = openSocket;
}

/** What opens sockets in this runtime. */
export function runtimeSockets(): OpenSocket {
  return open;
}
