/** Which WebSocket this runtime uses: the global one, unless the entry for Node has set another. */
import type { OpenSocket } from "./socket.ts";
import { openWebSocket } from "./socket-web.ts";

let open: OpenSocket = openWebSocket;

/** Sets how every later connection opens its socket. */
export function useSockets(openSocket: OpenSocket): void {
  open = openSocket;
}

/** How this runtime opens a socket. */
export function runtimeSockets(): OpenSocket {
  return open;
}
