/** One stream, on a socket without a network and a clock that the test moves. */
import { expect, test } from "bun:test";
import { decodeFrame } from "../../src/client/frame-codec.ts";
import type { ClientSocket, SocketEvents } from "../../src/client/sockets/socket.ts";
import { Stream } from "../../src/client/stream.ts";
import type { TinyMQError } from "../../src/errors.ts";
import { ConsumeRequest, ConsumeResponse } from "../../src/gen/tinymq/v1/queue.ts";
import { FakeClock } from "../support/fake-clock.ts";
import { LIMITS } from "./fake-server.ts";

const HEARTBEAT = frame({ oneofKind: "heartbeat", heartbeat: {} });
const FINISH = frame({ oneofKind: "finish", finish: {} });
const OPEN = frame({
  oneofKind: "open",
  open: { topic: "t", token: "", mode: 0, consumerId: new Uint8Array(0) },
});

function frame(kind: ConsumeRequest["kind"]): Uint8Array<ArrayBuffer> {
  return ConsumeRequest.toBinary({ kind }) as Uint8Array<ArrayBuffer>;
}

function harness(openLimitMs = 1_000, heartbeatMs = 100, deadAfterMs = 300) {
  let events!: SocketEvents;
  const sent: string[] = [];
  const calls: string[] = [];
  const socket: ClientSocket = {
    send: (frame) => sent.push(ConsumeRequest.fromBinary(frame).kind.oneofKind!),
    close: (code) => sent.push(`close ${code}`),
    terminate: () => sent.push("terminate"),
  };
  const clock = new FakeClock();
  let error: TinyMQError | undefined;
  const stream = new Stream(
    {
      host: "::1",
      port: 9,
      openSocket: (url, protocol, _tls, given) => {
        sent.push(`${protocol} ${url}`);
        events = given;
        return socket;
      },
    },
    "/tinymq.v1.TinyMQ/Consume",
    {
      openFrame: OPEN,
      heartbeat: HEARTBEAT,
      finish: FINISH,
      opened: (frame) => {
        calls.push(`opened ${kindOf(frame)}`);
        return { ...LIMITS, heartbeatMs, deadAfterMs };
      },
      receive: (frame) => calls.push(kindOf(frame)),
      ended: (thrown, wasOpen) => {
        error = thrown;
        calls.push(`ended ${wasOpen}`);
      },
    },
    clock,
    openLimitMs,
  );
  const receive = (kind: ConsumeResponse["kind"]) => events.frame(ConsumeResponse.toBinary({ kind }));
  const open = () => {
    events.open();
    receive({ oneofKind: "opened", opened: { instance: "a", holder: true, limits: LIMITS } });
  };
  return { stream, clock, sent, calls, open, receive, events: () => events, error: () => error };
}

const kindOf = (frame: Uint8Array) => decodeFrame(ConsumeResponse, frame).kind.oneofKind!;

test("open frame first, then heartbeats whenever nothing else was sent", async () => {
  const { stream, clock, sent, calls, open, receive } = harness();
  open();
  expect(sent).toEqual(["tinymq.v1 ws://[::1]:9/tinymq.v1.TinyMQ/Consume", "open"]);
  expect(calls).toEqual(["opened opened"]);
  const beat = () => receive({ oneofKind: "heartbeat", heartbeat: {} });
  clock.advance(99);
  expect(sent).toHaveLength(2);
  clock.advance(1);
  expect(sent.splice(0)).toContain("heartbeat");
  beat();
  clock.advance(60);
  stream.send(HEARTBEAT);
  sent.length = 0;
  clock.advance(99);
  expect(sent).toEqual([]);
  clock.advance(1);
  expect(sent).toEqual(["heartbeat"]);
  expect(clock.pending).toBe(1);
});

test("silence is the end, after one last look", async () => {
  const { clock, sent, calls, open, receive, error } = harness();
  open();
  clock.advance(299);
  receive({ oneofKind: "heartbeat", heartbeat: {} });
  clock.advance(299);
  expect(calls.at(-1)).toBe("heartbeat");
  // A late timer: what waits in the socket is read before the last look.
  clock.advance(1);
  receive({ oneofKind: "heartbeat", heartbeat: {} });
  clock.advance(100);
  expect(calls.at(-1)).toBe("heartbeat");
  clock.advance(300);
  expect(calls.at(-1)).toBe("ended true");
  expect(error()).toMatchObject({ code: "UNAVAILABLE" });
  expect(sent.at(-1)).toBe("terminate");
  expect(clock.pending).toBe(0);
});

test("opening has a time limit", async () => {
  const { clock, calls, sent, error } = harness(500);
  clock.advance(500);
  expect(calls).toEqual(["ended false"]);
  expect(error()?.message).toBe("the server did not open the stream within 500 ms");
  expect(sent.at(-1)).toBe("terminate");
});

test("close waits for the server, but not for ever; nothing is told after the end", async () => {
  const { stream, clock, calls, sent, open, receive, events } = harness();
  open();
  const closed = stream.close();
  expect(sent.slice(-2)).toEqual(["finish", "close 1000"]);
  receive({ oneofKind: "heartbeat", heartbeat: {} });
  clock.advance(2_000);
  await closed;
  expect(calls).toEqual(["opened opened", "ended true"]);
  events().close(1000, "", "");
  await stream.close();
  stream.abort(new Error("late") as TinyMQError);
  expect(calls).toHaveLength(2);
});

test("a frame that is none is DATA_LOSS", async () => {
  const { calls, open, events, error } = harness();
  open();
  events().frame(Uint8Array.of(0x0a, 0x05, 1));
  expect(calls.at(-1)).toBe("ended true");
  expect(error()).toMatchObject({ code: "DATA_LOSS" });
});

test("what a server announces is kept within bounds", () => {
  const LARGEST = 2 ** 32 - 1;
  for (const [heartbeatMs, deadAfterMs] of [
    [LARGEST, LARGEST],
    [1, 1],
    [LARGEST, 1],
    [1, LARGEST],
  ] as const) {
    const { clock, sent, open, error } = harness(1_000, heartbeatMs, deadAfterMs);
    open();
    sent.length = 0;
    let timers = 0;
    for (; clock.now() < 1_000 && clock.nextDue <= 1_000 && error() === undefined; timers++) clock.runNext();
    expect(timers).toBeLessThan(60);
    if (heartbeatMs === 1) expect(sent.length).toBeLessThanOrEqual(20);
    else {
      clock.advance(3_600_000);
      expect(sent).toContain("heartbeat");
      clock.advance(24 * 3_600_000 + 1_000);
      expect(error()).toMatchObject({ code: "UNAVAILABLE" });
    }
  }
});
