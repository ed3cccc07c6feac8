/** What docs/protocol.md says and no vector can show in a few bytes. */
import { describe, expect, test } from "bun:test";
import * as limits from "../../src/wire/limits.ts";
import { ConsumeStream, message, ProduceStream } from "./streams.ts";
import { startServer, Wire } from "./support.ts";

const MAX_FRAME = limits.MAX_MESSAGE_BYTES + limits.BATCH_SLACK_BYTES + limits.FRAME_SLACK_BYTES;
const MAX_SOCKET = MAX_FRAME + 64 * limits.KiB;

describe("sizes", () => {
  for (const [byteLength, code] of [
    [MAX_FRAME + 1, 4011],
    [MAX_SOCKET, 4011],
    [MAX_SOCKET + 1, 1009],
  ] as const) {
    test(`a frame of ${byteLength} bytes ends the stream with ${code}`, async () => {
      await using server = await startServer();
      const { wire } = await ProduceStream.open(server, "t");
      wire.send(new Uint8Array(byteLength));
      expect((await wire.end()).code).toBe(code);
    });
  }

  for (const [byteLength, status] of [
    [limits.MiB, 200],
    [limits.MiB + 1, 413],
  ] as const) {
    test(`a unary call with a body of ${byteLength} bytes is answered with ${status}`, async () => {
      await using server = await startServer();
      const response = await fetch(`http://127.0.0.1:${server.port}/twirp/tinymq.v1.Admin/ListTopics`, {
        method: "POST",
        headers: { "Content-Type": "application/json" },
        body: " ".repeat(byteLength),
      });
      expect(response.status).toBe(status);
    });
  }

  test("a handshake of another WebSocket version is answered with 426, and told to use 13", async () => {
    await using server = await startServer();
    const headers = { Connection: "Upgrade", Upgrade: "websocket", "Sec-WebSocket-Version": "12" };
    const response = await fetch(`http://127.0.0.1:${server.port}/tinymq.v1.TinyMQ/Produce`, {
      headers: { ...headers, "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==" },
    });
    expect(response.status).toBe(426);
    expect(response.headers.get("sec-websocket-version")).toBe("13");
    expect(await response.text()).toBe("");
  });
});

test("a rewind frees the places of the pulls that it answers: 64 more may follow before rewound is read", async () => {
  await using server = await startServer();
  const consumer = await ConsumeStream.open(server, "t");
  for (let round = 0; round < 2; round++) {
    for (let pulls = 0; pulls < limits.MAX_PULLS_IN_FLIGHT; pulls++) consumer.sendPull(1, 60_000);
    if (round === 0) consumer.send({ oneofKind: "rewind", rewind: { position: 0, reason: "", delayMs: 0 } });
  }
  const answers: string[] = [];
  for (let count = 0; count <= limits.MAX_PULLS_IN_FLIGHT; count++)
    answers.push((await consumer.next()).oneofKind!);
  expect(answers.slice(0, -1)).toEqual(Array(limits.MAX_PULLS_IN_FLIGHT).fill("empty"));
  expect(answers.at(-1)).toBe("rewound");
  expect(consumer.wire.closed).toBeNull();
});

test("what is published counts although nobody is subscribed", async () => {
  await using server = await startServer();
  const producer = await ProduceStream.open(server, "t");
  await producer.produce([message(1), message(2)]);
  expect((await server.admin("GetTopic", { topic: "t" })).counters).toMatchObject({ published: "2" });
  const wire = await Wire.open(server.port, "/tinymq.v1.TinyMQ/Subscribe", { protocol: "tinymq.v1" });
  // `published` is field 4 of opened.
  expect(await wire.send("0a030a0174").nextHex()).toEndWith("2002");
});
