/** Client sockets in Node, on the package `ws`: Node 20 has no WebSocket, and that of later versions is slower. */
import { WebSocket } from "ws";
import { CLOSE_ABNORMAL, closeCodeOf } from "../../wire/close.ts";
import type { ClientSocket, OpenSocket, TlsOptions } from "./socket.ts";

/** The addresses of `localhost`: the system may resolve it to only one of them. */
const LOOPBACK = ["localhost", "127.0.0.1", "[::1]"];

/** Opens a `ws` socket. For `localhost` it tries the name and then both loopback addresses. */
export const openNodeSocket: OpenSocket = (url, protocol, tls, events) => {
  const hosts = new URL(url).hostname === "localhost" ? [...LOOPBACK] : [undefined];
  let socket: WebSocket;
  let terminated = false;
  const attempt = () => {
    const host = hosts.shift();
    const target = host === undefined ? url : url.replace("//localhost", `//${host}`);
    let opened = false;
    let detail = "";
    let refused = false;
    socket = connect(target, protocol, tls);
    socket.on("open", () => {
      opened = true;
      events.open();
    });
    socket.on("error", (error: Error & { code?: string }) => {
      detail = error.message;
      refused = error.code === "ECONNREFUSED";
    });
    socket.on("message", (data: Buffer<ArrayBuffer>, binary: boolean) => {
      if (terminated) return;
      if (binary) return events.frame(new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
      terminated = true;
      socket.close(closeCodeOf("INVALID_ARGUMENT"), "frames are binary");
      events.close(CLOSE_ABNORMAL, "", "the server sent a text frame");
    });
    socket.on("close", (code: number, reason: Buffer) => {
      if (terminated) return;
      if (!opened && refused && hosts.length > 0) attempt();
      else events.close(code, reason.toString(), detail);
    });
  };
  attempt();
  return wrap(
    () => socket,
    () => {
      terminated = true;
    },
  );
};

function connect(url: string, protocol: string, tls: TlsOptions | undefined): WebSocket {
  return new WebSocket(url, protocol, {
    ...(tls as object | undefined),
    perMessageDeflate: false,
    skipUTF8Validation: true,
    // Masks keep scripts in browsers from sending chosen bytes to proxies (RFC 6455, section 10.3), which does not
    // matter here. `ws` masks in JavaScript; for a mask of zeros it skips that, and a copy.
    generateMask: (mask) => mask.fill(0),
  });
}

function wrap(current: () => WebSocket, silence: () => void): ClientSocket {
  return {
    send: (bytes) => current().send(bytes),
    close: (code, reason) => current().close(code, reason),
    terminate() {
      silence();
      current().terminate();
    },
  };
}
