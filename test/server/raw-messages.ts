/** Messages stored and counted without the client: by frames and by Admin. */
import { Batch, ProduceRequest } from "../../src/gen/tinymq/v1/queue.ts";
import { Wire } from "../protocol/support.ts";

const PRODUCE = "/tinymq.v1.TinyMQ/Produce";

/** Stores `count` messages with ids from 0 and bodies of `bytes` bytes; resolves when each is acknowledged. */
export async function store(port: number, topic: string, count: number, bytes = 10): Promise<void> {
  const wire = await Wire.open(port, PRODUCE, { protocol: "tinymq.v1" });
  const name = new TextEncoder().encode(topic);
  wire.send(Buffer.concat([Uint8Array.of(0x0a, name.length + 2, 0x0a, name.length), name]));
  await wire.next();
  for (let id = 0; id < count; id++) {
    const messages = Batch.toBinary({ messages: [{ id, body: new Uint8Array(bytes), headers: {} }] });
    const batch = { seq: id + 1, delayMs: 0, ttlMs: 0, uniqueMs: 0, messages };
    wire.send(ProduceRequest.toBinary({ kind: { oneofKind: "batch", batch } }));
    const answer = await wire.nextHex();
    if (!answer.startsWith("12")) throw new Error(`message ${id} was not stored: ${answer}`);
  }
  // finish
  wire.send("2200");
  await wire.close();
}

/** How many messages lie ready in a topic; 0 where there is none. */
export async function stored(port: number, topic: string, address = "127.0.0.1"): Promise<number> {
  const host = address.includes(":") ? `[${address}]` : address;
  const response = await fetch(`http://${host}:${port}/twirp/tinymq.v1.Admin/GetTopic`, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ topic }),
  });
  if (response.status === 404) return 0;
  return Number(((await response.json()) as { ready: string }).ready);
}
