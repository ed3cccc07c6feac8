/** The control: a bare WebSocket echo with no tinyMQ code. What this does is the limit on this machine. */
import { closeSync, writeSync } from "node:fs";

/** Where the process says that it is ready, if anyone listens; as tinyMQ's server does. */
const REPORT_PIPE = 3;
const MAX_FRAME_BYTES = 2 * 1024 * 1024;

const server = Bun.serve({
  hostname: "127.0.0.1",
  port: Number(process.argv[2] ?? 0),
  fetch(request, listener) {
    return listener.upgrade(request) ? undefined : new Response("a bare echo\n");
  },
  websocket: {
    message(socket, frame) {
      socket.send(frame);
    },
    maxPayloadLength: MAX_FRAME_BYTES,
    backpressureLimit: 16 * MAX_FRAME_BYTES,
    idleTimeout: 0,
    sendPings: false,
    perMessageDeflate: false,
  },
});
try {
  writeSync(REPORT_PIPE, `${server.port}\n`);
  closeSync(REPORT_PIPE);
} catch {
  // Nobody waits for it.
}
