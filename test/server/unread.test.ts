/**
 * Clients that do not read what they are sent, in many ways: what waits for them is bounded, in a server process
 * of its own, measured from outside. `TINYMQ_PROOF=long` makes a thousand of them.
 */
import { afterAll, describe, expect, test } from "bun:test";
import { Batch, ConsumeRequest, ProduceRequest } from "../../src/gen/tinymq/v1/queue.ts";
import { MemoryWatch, MiB, mebibytes } from "../proof/load.ts";
import { endServers, type ServerProcess, startServer } from "../proof/server-process.ts";
import { LONG, until } from "../proof/until.ts";
import { fromHex, Wire } from "../protocol/support.ts";
import { HealthyPair } from "./healthy-pair.ts";
import { frame, Intruder } from "./intruder.ts";
import { store } from "./raw-messages.ts";

afterAll(endServers);

const CAP = 16 * MiB;
/** A quarter of the cap for what waits, and half of that again for what is not seen yet and for the closed. */
const BUFFERS = (CAP / 4) * 1.5;
/** What a busy process may hold beside what is counted. */
const SLACK = 56 * MiB;
const PATHS = [
  "/tinymq.v1.TinyMQ/Produce",
  "/tinymq.v1.TinyMQ/Consume",
  "/tinymq.v1.TinyMQ/Subscribe",
  "/v0",
];
const [PRODUCE, CONSUME, SUBSCRIBE] = PATHS as [string, string, string, string];
const OPCODE = { binary: 2, ping: 9 };
/** Topic "live". */
const OPEN = fromHex("0a060a046c697665");
const OPEN_V0 = fromHex("0d0100000012046c697665");

interface Scene {
  readonly server: ServerProcess;
  readonly idle: number;
  readonly pair: HealthyPair;
}

async function scene(): Promise<Scene> {
  const server = await startServer({ maxMemory: CAP });
  const pair = await HealthyPair.start(server.port);
  await pair.passes();
  return { server, idle: server.resident, pair };
}

/** Runs `attack` beside the pair; returns what was held at most, as the process has it and as it is charged. */
async function held({ server, idle, pair }: Scene, attack: (look: () => Promise<void>) => Promise<void>) {
  const watch = new MemoryWatch(server.pid);
  let charged = 0;
  try {
    await attack(async () => {
      charged = Math.max(charged, Number((await server.status()).memoryUsed));
    });
    await pair.passes();
  } finally {
    watch.stop();
  }
  expect(await pair.stop()).toBeGreaterThan(0);
  return { resident: watch.peak - idle, charged };
}

/** A connection that reads nothing from its open frame on, or from its handshake on. */
async function frozenClient(port: number, path: string, opens: boolean): Promise<Intruder> {
  const client = await Intruder.upgraded(port, path, path === "/v0" ? "" : "tinymq.v1");
  if (opens) await client.write(frame(OPCODE.binary, path === "/v0" ? OPEN_V0 : OPEN));
  client.freeze();
  return client;
}

describe("a flood of pings whose answers nobody reads", () => {
  const ping = Buffer.concat(Array.from({ length: 500 }, () => frame(OPCODE.ping, new Uint8Array(125))));

  /** From each some 7 MB: more than the system's buffers take. */
  async function flood(clients: readonly Intruder[], look: () => Promise<void>): Promise<void> {
    for (let round = 0; round < 110; round++) {
      for (const each of clients) void each.write(ping);
      await (round % 10 === 0 ? look() : Bun.sleep(1));
    }
    for (let looks = 0; looks < 50; looks++) await look();
  }

  test.each([
    ["that have opened", true],
    ["that have not opened", false],
  ])(
    "from 60 connections %s: charged, bounded, and the fullest are closed",
    async (_who, opens) => {
      const stage = await scene();
      const clients: Intruder[] = [];
      for (let count = 0; count < 60; count++) {
        clients.push(await frozenClient(stage.server.port, PATHS[count % 4]!, opens));
      }
      const most = await held(stage, (look) => flood(clients, look));
      console.log(
        `pings: resident ${mebibytes(most.resident)} above idle, charged ${mebibytes(most.charged)}`,
      );
      expect(most.charged).toBeGreaterThan(0);
      expect(most.charged).toBeLessThan(BUFFERS + MiB);
      expect(most.resident).toBeLessThan(BUFFERS + SLACK);
      for (const each of clients) each.cut();
    },
    60_000,
  );
});

describe("subscribers that are frozen", () => {
  const COUNT = LONG ? 1_000 : 100;

  /** A producer that is not stored, whose window is kept. */
  async function publisher(port: number): Promise<(bytes: number, count: number) => Promise<void>> {
    const wire = await Wire.open(port, PRODUCE, { protocol: "tinymq.v1" });
    const open = {
      topic: "live",
      token: "",
      delivery: 1,
      producerId: new Uint8Array(0),
      firstSeq: 1,
      instance: "",
    };
    wire.send(ProduceRequest.toBinary(ProduceRequest.create({ kind: { oneofKind: "open", open } })));
    await wire.next();
    let seq = 0;
    return async (bytes, count) => {
      const messages = Batch.toBinary({ messages: [{ id: 1, body: new Uint8Array(bytes), headers: {} }] });
      for (let sent = 0; sent < count; sent++) {
        seq += 1;
        const batch = { seq, delayMs: 0, ttlMs: 0, uniqueMs: 0, messages };
        wire.send(ProduceRequest.toBinary({ kind: { oneofKind: "batch", batch } }));
      }
      // `acked` has its seq behind three bytes.
      await until("every batch to be answered", () => wire.closed !== null || lastAcked(wire) === seq);
      if (wire.closed !== null) throw new Error(`the producer was closed: ${wire.closed.reason}`);
      wire.frames.length = 0;
    };
  }

  function lastAcked(wire: Wire): number {
    const frame = wire.frames.findLast((each) => each[0] === 0x12);
    if (frame === undefined) return 0;
    return frame.slice(3).reduce((sum, byte, at) => sum + (byte & 127) * 128 ** at, 0);
  }

  /** Publishes `bursts` times `burst` frames, and looks what is held. */
  async function publishToFrozen(bytes: number, burst: number, bursts: number): Promise<void> {
    const stage = await scene();
    const { server } = stage;
    const frozen: Intruder[] = [];
    const most = await held(stage, async (look) => {
      for (let count = 0; count < COUNT; count++) {
        frozen.push(await frozenClient(server.port, SUBSCRIBE, true));
      }
      await until("all to be there", async () => (await server.status()).connections === COUNT + 2);
      const publish = await publisher(server.port);
      for (let round = 0; round < bursts; round++) {
        await publish(bytes, burst);
        await look();
      }
      for (const each of frozen) each.cut();
    });
    const { resident, charged } = most;
    console.log(`${COUNT} frozen: resident ${mebibytes(resident)} above idle, charged ${mebibytes(charged)}`);
    expect(charged).toBeGreaterThan(0);
    expect(charged).toBeLessThan(BUFFERS + 2 * MiB);
    expect(resident).toBeLessThan(BUFFERS + SLACK);
  }

  test("small frames, many in a turn: what waits for all of them is bounded", async () => {
    await publishToFrozen(1_000, 50, 120);
  }, 120_000);

  test("frames of 15 KB: what waits for all of them is bounded from the first publish on", async () => {
    await publishToFrozen(15_000, 32, 13);
  }, 120_000);

  test("frames of 1 MB: what waits for all of them is bounded from the first publish on", async () => {
    await publishToFrozen(1_000_000, 1, 8);
  }, 120_000);
});

test("a consumer that freezes and comes again, and again: what its closed connections leave is bounded", async () => {
  const stage = await scene();
  const { server } = stage;
  // More than the system's buffers take of one connection.
  await store(server.port, "heavy", 10, 1_000_000);
  const open = { topic: "heavy", token: "", mode: 0, consumerId: new Uint8Array(16).fill(7) };
  const frames = [
    ConsumeRequest.toBinary({ kind: { oneofKind: "open", open } }),
    ...Array.from({ length: 10 }, (_, pullId) => {
      const pull = { pullId, maxMessages: 1, maxBytes: 0, waitMs: 60_000, settles: [] };
      return ConsumeRequest.toBinary({ kind: { oneofKind: "pull", pull } });
    }),
  ].map((bytes) => frame(OPCODE.binary, bytes));
  const ghosts: Intruder[] = [];
  const most = await held(stage, async (look) => {
    for (let round = 0; round < 150; round++) {
      const ghost = await Intruder.upgraded(server.port, CONSUME);
      ghost.freeze();
      await ghost.write(Buffer.concat(frames));
      ghosts.push(ghost);
      // The messages come back from the one before, and go to this one.
      await look();
    }
  });
  console.log(
    `150 takeovers: resident ${mebibytes(most.resident)} above idle, charged ${mebibytes(most.charged)}`,
  );
  expect(most.charged).toBeLessThan(CAP + BUFFERS);
  expect(most.resident).toBeLessThan(CAP + BUFFERS + SLACK);
  for (const each of ghosts) each.cut();
}, 60_000);
