/**
 * What an end of a connection means, said with raw bytes: a close code can be invented by whoever stands between
 * a client and the server's code, and some clients send none.
 */
import { describe, expect, test } from "bun:test";
import { OPCODE, RawSocket } from "./raw-socket.ts";
import { fromHex, startServer, type TestServer, toHex, until, Wire } from "./support.ts";

/** How a client ends its connection. */
const ENDS: readonly { readonly name: string; readonly payload: Uint8Array | null }[] = [
  { name: "a close frame without a code", payload: new Uint8Array(0) },
  { name: "a close frame with half a code", payload: Uint8Array.of(0x03) },
  { name: "a close frame with 1000", payload: closePayload(1000) },
  {
    name: "a close frame with 1000 and a reason",
    payload: Buffer.concat([closePayload(1000), Buffer.from("bye")]),
  },
  { name: "a close frame with 1001", payload: closePayload(1001) },
  { name: "a close frame with 1005, which none may send", payload: closePayload(1005) },
  { name: "a close frame with 1008", payload: closePayload(1008) },
  { name: "a close frame with 3000", payload: closePayload(3000) },
  { name: "a close frame with 4000", payload: closePayload(4000) },
  { name: "no close frame", payload: null },
];
/** Clean for a client of the first version. */
const CLEAN_V0 = new Set([
  "a close frame with 1000",
  "a close frame with 1000 and a reason",
  "a close frame with 1001",
]);

const CONSUME = "/tinymq.v1.TinyMQ/Consume";
const PRODUCE = "/tinymq.v1.TinyMQ/Produce";
const V1 = ["Sec-WebSocket-Protocol: tinymq.v1"];
const protocol = "tinymq.v1";
/** Of the topic "t". */
const OPEN = "0a030a0174";
/** The same with a producer_id and first_seq 2. */
const OPEN_AGAIN = "0a170a01742210000102030405060708090a0b0c0d0e0f2802";

function closePayload(code: number): Uint8Array {
  return Uint8Array.of(code >> 8, code & 0xff);
}

async function open(server: TestServer, path: string, lines: readonly string[] = []): Promise<RawSocket> {
  return (await RawSocket.open(server.port, path, lines)).answered();
}

function send(raw: RawSocket, hex: string): void {
  raw.send(OPCODE.binary, fromHex(hex));
}

/** The payload of the next binary frame; pings are passed over. */
async function receive(raw: RawSocket): Promise<string> {
  for (;;) {
    const { head, payload } = await raw.next();
    if ((head & 0x0f) === OPCODE.binary) return toHex(payload);
  }
}

/** Ends a connection, whose frames the server has read, and waits until the server has seen that. */
async function end(server: TestServer, raw: RawSocket, payload: Uint8Array | null): Promise<void> {
  const before = Number((await server.admin("GetStatus")).connections);
  raw.send(OPCODE.ping, new Uint8Array(0));
  while (((await raw.next()).head & 0x0f) !== OPCODE.pong);
  if (payload === null) raw.cut();
  else raw.send(OPCODE.close, payload);
  await server.connections(before - 1);
}

/** One message, id 1, in the topic "t". */
async function produceOne(server: TestServer): Promise<void> {
  const wire = await Wire.open(server.port, PRODUCE, { protocol });
  await wire.send(OPEN).next();
  expect(await wire.send("120808012a040a020801").nextHex()).toBe("12020801");
  await wire.send("2200").close();
  await until(async () => (await server.admin("GetTopic", { topic: "t" })).producers === 0, "it is gone");
}

/** What a consumer of the topic "t" gets now. */
async function pullOne(server: TestServer): Promise<string> {
  const wire = await Wire.open(server.port, CONSUME, { protocol });
  await wire.send(OPEN).next();
  return wire.send("12020801").nextHex();
}

const NOTHING = "1a020801";
const FIRST_TIME = "120c08011a02100122040a020801";
const AGAIN = "120e08011a041001180122040a020801";
const AGAIN_COUNTED = "121008011a0610011801200122040a020801";

describe("v0: what was polled last", () => {
  for (const { name, payload } of ENDS) {
    const clean = CLEAN_V0.has(name);
    test(`${name} ${clean ? "acknowledges it" : "gives it back"}`, async () => {
      await using server = await startServer();
      await produceOne(server);
      const raw = await open(server, "/t");
      send(raw, "0d02000000120174");
      expect(await receive(raw)).toBe("0de8030000");
      send(raw, "0a0174");
      expect(await receive(raw)).toBe("0d0100000015d00700001a00");
      await end(server, raw, payload);
      expect(await pullOne(server)).toBe(clean ? NOTHING : AGAIN_COUNTED);
    });
  }
});

describe("v1: no close code is a clean end, a finish frame is one however the connection ends", () => {
  for (const { name, payload } of ENDS) {
    test(`consume: ${name}`, async () => {
      for (const finish of [false, true]) {
        await using server = await startServer();
        await produceOne(server);
        const raw = await open(server, CONSUME, V1);
        send(raw, OPEN);
        await receive(raw);
        send(raw, "12020801");
        expect(await receive(raw)).toBe(FIRST_TIME);
        // Handed 1, answered with the pull that it rides on.
        send(raw, "120608023a020801");
        expect(await receive(raw)).toBe("1a020802");
        if (finish) send(raw, "3a00");
        await end(server, raw, payload);
        expect(await pullOne(server)).toBe(finish ? AGAIN : AGAIN_COUNTED);
      }
    });

    test(`produce: ${name}`, async () => {
      for (const finish of [false, true]) {
        await using server = await startServer();
        const raw = await open(server, PRODUCE, V1);
        send(raw, OPEN_AGAIN.replace("2802", "2801"));
        await receive(raw);
        send(raw, "120808012a040a020801");
        expect(await receive(raw)).toBe("12020801");
        if (finish) send(raw, "2200");
        await end(server, raw, payload);
        const again = await Wire.open(server.port, PRODUCE, { protocol });
        // known is field 3, last_seq field 4.
        expect(await again.send(OPEN_AGAIN).nextHex()).toEndWith(finish ? "c8df022001" : "c8df0218012001");
      }
    });
  }
});
