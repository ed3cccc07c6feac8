/** The control: a bare WebSocket echo with no tinyMQ code, which shows what this machine can do. Argument: a port. */

const MAX_FRAME_BYTES = 2 * 1024 * 1024;

Bun.serve({
  hostname: "127.0.0.1",
  port: Number(process.argv[2]),
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
