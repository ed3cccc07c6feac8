/** A WebSocket as a session sees it, that keeps what was sent and can be slow or gone. */
import type { FrameSocket } from "../../src/session/frame-socket.ts";

/** What a socket did, in the order of all sockets that share one list. */
export type SocketEvent =
  | { readonly socket: FakeSocket; readonly kind: "sent"; readonly frame: Uint8Array }
  | { readonly socket: FakeSocket; readonly kind: "closed"; readonly code: number; readonly reason: string };

export class FakeSocket implements FrameSocket {
  readonly name: string;
  readonly #events: SocketEvent[];
  /** Frames that the client has not looked at yet. */
  readonly unread: Uint8Array[] = [];
  /** "reading": takes all; "slow": buffers; "full": drops. */
  state: "reading" | "slow" | "full" = "reading";
  bufferedBytes = 0;
  closed: { readonly code: number; readonly reason: string } | null = null;
  terminated = false;
  isOpen = false;
  pings = 0;
  readonly subscriptions = new Set<string>();

  constructor(name: string, events: SocketEvent[]) {
    this.name = name;
    this.#events = events;
  }

  send(frame: Uint8Array): number {
    if (this.closed !== null) throw new Error(`${this.name}: sent after its close`);
    // A copy: a frame is valid only until the next one is written.
    const copy = frame.slice();
    this.#events.push({ socket: this, kind: "sent", frame: copy });
    this.unread.push(copy);
    if (this.state === "reading") return frame.length;
    if (this.state === "full") return 0;
    this.bufferedBytes += frame.length;
    return -1;
  }

  close(code: number, reason: string): void {
    if (this.closed !== null) throw new Error(`${this.name}: closed twice`);
    this.closed = { code, reason };
    this.bufferedBytes = 0;
    this.#events.push({ socket: this, kind: "closed", code, reason });
  }

  terminate(): void {
    this.terminated = true;
  }

  ping(): void {
    this.pings += 1;
  }

  opened(): void {
    this.isOpen = true;
  }

  subscribe(topic: string): void {
    if (this.closed !== null) throw new Error(`${this.name}: subscribed after its close`);
    this.subscriptions.add(topic);
  }
}
