/** What docs/protocol.md says and no vector can show in a few bytes. */
import { expect, test } from "bun:test";
import { MAX_PULLS_IN_FLIGHT } from "../../src/wire/limits.ts";
import { ConsumeStream, message, ProduceStream } from "./streams.ts";
import { startServer, Wire } from "./support.ts";

test("a rewind frees the places of the pulls that it answers: 64 more may follow before rewound is read", async () => {
  await using server = await startServer();
  const consumer = await ConsumeStream.open(server, "t");
  for (let round = 0; round < 2; round++) {
    for (let pulls = 0; pulls < MAX_PULLS_IN_FLIGHT; pulls++) consumer.sendPull(1, 60_000);
    if (round === 0) consumer.send({ oneofKind: "rewind", rewind: { position: 0, reason: "", delayMs: 0 } });
  }
  const answers: string[] = [];
  for (let count = 0; count <= MAX_PULLS_IN_FLIGHT; count++) answers.push((await consumer.next()).oneofKind!);
  expect(answers.slice(0, -1)).toEqual(Array(MAX_PULLS_IN_FLIGHT).fill("empty"));
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
