/** Snapshots: what a stop writes, what a start restores, and what happens to files that are damaged. */
import { afterAll, describe, expect, spyOn, test } from "bun:test";
import * as fs from "node:fs";
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { SnapshotRecord } from "../../src/gen/tinymq/v1/snapshot.ts";
import { Consumer, Producer } from "../../src/index.ts";
import { type ServerOptions, TinyMQServer } from "../../src/server/index.ts";
import { FaultProxy } from "../proof/proxy.ts";
import { endServers, makeFolder, ServerProcess, startServer } from "../proof/server-process.ts";
import { until } from "../proof/until.ts";

afterAll(endServers);

const HOST = "127.0.0.1";
/** What every snapshot begins with: "tinymq-1". */
const MAGIC_BYTES = 8;
const numbers = (from: number, to: number) => Array.from({ length: to - from }, (_, index) => from + index);

async function serve(snapshot: string, options: ServerOptions = {}): Promise<TinyMQServer> {
  const server = new TinyMQServer({ snapshot, ...options });
  await server.start(HOST, 0);
  return server;
}

async function send(port: number, topic: string, ids: readonly number[], options = {}): Promise<void> {
  const producer = new Producer(HOST, port, topic);
  await producer.initConn();
  await producer.sendBatch(
    ids.map((id) => ({ id, body: `message ${id}` })),
    options,
  );
  await producer.close();
}

/** Consumes all that comes within `wait` ms of silence. */
async function drain(port: number, topic: string, wait = 0): Promise<number[]> {
  const consumer = new Consumer(HOST, port, topic);
  await consumer.initConn();
  const ids: number[] = [];
  for (let next = await consumer.poll({ wait }); next !== null; next = await consumer.poll({ wait }))
    ids.push(next[0]);
  await consumer.close();
  return ids;
}

interface Seen {
  id: number;
  offset: number;
  redelivered: boolean;
  reason: string | undefined;
}

async function take(port: number, topic: string, count: number): Promise<Seen[]> {
  const consumer = new Consumer(HOST, port, topic);
  await consumer.initConn();
  const seen: Seen[] = [];
  for await (const { id, offset, redelivered, headers } of consumer) {
    seen.push({ id, offset, redelivered, reason: headers["tinymq-dead-reason"] });
    if (seen.length === count) break;
  }
  await consumer.close();
  return seen;
}

describe("a stop and a start", () => {
  test("restore the messages, their order, their offsets, what was delivered, and dead letters", async () => {
    const file = join(makeFolder(), "queue");
    const before = await serve(file);
    await send(before.port, "orders", numbers(0, 10));
    const consumer = new Consumer(HOST, before.port, "orders", { autoAck: false });
    await consumer.initConn();
    for await (const message of consumer) {
      if (message.id === 0) message.ack();
      if (message.id === 1) message.reject("not mine");
      if (message.id === 2) break;
    }
    await consumer.close();
    await before.stop();
    expect(statSync(file).mode & 0o777).toBe(0o600);
    expect(readdirSync(join(file, "..")).filter((name) => name.includes("writing"))).toEqual([]);

    const after = await serve(file);
    await send(after.port, "orders", [10]);
    const seen = await take(after.port, "orders", 9);
    expect(seen.map(({ id, offset }) => [id, offset])).toEqual(numbers(2, 11).map((id) => [id, id]));
    expect(seen[0]?.redelivered).toBe(true);
    expect(seen.at(-1)?.redelivered).toBe(false);
    expect(await take(after.port, "orders.dead", 1)).toMatchObject([{ id: 1, reason: "not mine" }]);
    await after.stop();
  });

  test("keep delays, times to live and retry delays, and time goes on meanwhile", async () => {
    const file = join(makeFolder(), "queue");
    const before = await serve(file);
    const { port } = before;
    await send(port, "delayed", [1], { delay: 100 });
    await send(port, "delayed", [2], { delay: "1h" });
    await send(port, "expiring", [3], { ttl: 100 });
    await send(port, "expiring", [4], { ttl: "1h" });
    await send(port, "retried", [5, 6]);
    const consumer = new Consumer(HOST, port, "retried", { mode: "shared" });
    await consumer.initConn();
    for await (const message of consumer) {
      message.retry({ delay: message.id === 5 ? 100 : "1h" });
      if (message.id === 6) break;
    }
    await consumer.close();
    const stopped = Date.now();
    await before.stop();
    await until("both times are over", () => Date.now() > stopped + 150);

    const after = await serve(file);
    expect(await drain(after.port, "delayed", 100)).toEqual([1]);
    expect(await drain(after.port, "expiring", 100)).toEqual([4]);
    expect(await drain(after.port, "retried", 100)).toEqual([5]);
    await after.stop();
  });

  test("keep producers and the ids of unique: what is sent again is stored once", async () => {
    const file = join(makeFolder(), "queue");
    let server = await serve(file);
    await using proxy = await FaultProxy.to(() => server.port);
    const producer = new Producer(HOST, proxy.port, "again", {
      reconnect: { minDelay: 1, maxDelay: 5 },
      unique: "10m",
    });
    await producer.initConn();
    const plain = new Producer(HOST, proxy.port, "plain", { reconnect: { minDelay: 1, maxDelay: 5 } });
    await plain.initConn();
    await Promise.all([producer.send("first", 1), plain.send("first", 1)]);
    // Stored, and the answers are stuck: they are sent again to the next server.
    const stored = Promise.all([producer.send("second", 2), plain.send("second", 2)]);
    for (const link of proxy.links) link.freezeDown();
    await until("both to be stored", async () => (await messagesOf(server)) >= 4);
    await server.stop();
    server = await serve(file);
    for (const link of proxy.links) link.cut();
    await stored;
    await producer.send("the first id again", 1);
    expect(await messagesOf(server)).toBe(4);
    await Promise.all([producer.close(), plain.close()]);
    expect(await drain(server.port, "again")).toEqual([1, 2]);
    expect(await drain(server.port, "plain")).toEqual([1, 2]);
    await server.stop();
  });

  test("without messages are well", async () => {
    const file = join(makeFolder(), "queue");
    for (let round = 0; round < 3; round++) {
      const server = await serve(file);
      expect(await messagesOf(server)).toBe(0);
      await server.stop();
    }
    const untouched = await serve(file);
    await untouched.stop();
    expect(existsSync(`${file}.damaged`)).toBe(false);
  });

  test("a large snapshot tells of its progress", async () => {
    const file = join(makeFolder(), "queue");
    let told = 0;
    const server = new TinyMQServer({
      snapshot: file,
      onSnapshotProgress: () => {
        told += 1;
      },
    });
    await server.start(HOST, 0);
    const producer = new Producer<string>(HOST, server.port, "large");
    await producer.initConn();
    const body = "x".repeat(10_000);
    await producer.sendBatch(numbers(0, 3_000).map((id) => ({ id, body })));
    await producer.close();
    await server.stop();
    // 30 MB in records of at most 1 MiB.
    expect(told).toBeGreaterThan(28);
    const after = await serve(file);
    expect(await drain(after.port, "large")).toEqual(numbers(0, 3_000));
    await after.stop();
  });
});

describe("a damaged file", () => {
  async function smallSnapshot(): Promise<{ file: string; bytes: Buffer }> {
    const file = join(makeFolder(), "queue");
    const server = await serve(file);
    await send(server.port, "small", [1, 2]);
    await server.stop();
    return { file, bytes: readFileSync(file) };
  }

  /** The server refuses that start, names the file, and keeps it aside. */
  async function expectRefused(file: string, bytes: Uint8Array, what: string): Promise<void> {
    writeFileSync(file, bytes);
    const server = new TinyMQServer({ snapshot: file });
    const error = await server.start(HOST, 0).then(
      () => null,
      (thrown) => thrown,
    );
    if (error === null) await server.stop();
    expect({ what, code: error?.code }).toEqual({ what, code: "DATA_LOSS" });
    expect(error.message).toContain(`${file} is damaged`);
    expect(error.message).toContain(`${file}.damaged`);
    expect(existsSync(file)).toBe(false);
    expect(readFileSync(`${file}.damaged`).equals(bytes)).toBe(true);
    rmSync(`${file}.damaged`);
  }

  /** The server refuses that start, and the file, which is not ours, stays as it is. */
  async function expectUntouched(file: string, bytes: Uint8Array, what: string): Promise<void> {
    writeFileSync(file, bytes);
    const server = new TinyMQServer({ snapshot: file });
    const error = await server.start(HOST, 0).catch((thrown) => thrown);
    await server.stop();
    expect({ what, code: error?.code }).toEqual({ what, code: "FAILED_PRECONDITION" });
    expect(error.message).toContain(`snapshot: ${file}`);
    expect(readFileSync(file).equals(bytes)).toBe(true);
    expect(existsSync(`${file}.damaged`)).toBe(false);
  }

  test("with any byte changed is named and kept aside, and the server does not start", async () => {
    const { file, bytes } = await smallSnapshot();
    for (let at = 0; at < bytes.length; at++) {
      const flipped = Buffer.from(bytes);
      flipped[at]! ^= 1 << (at % 8);
      // Without our first bytes it may be anybody's.
      if (at < MAGIC_BYTES) await expectUntouched(file, flipped, `byte ${at} flipped`);
      else await expectRefused(file, flipped, `byte ${at} flipped`);
    }
  }, 60_000);

  test("that is cut off anywhere is named and kept aside, and the server does not start", async () => {
    const { file, bytes } = await smallSnapshot();
    for (let length = 0; length < bytes.length; length++) {
      const what = `cut off after ${length} bytes`;
      if (length < MAGIC_BYTES) await expectUntouched(file, bytes.subarray(0, length), what);
      else await expectRefused(file, bytes.subarray(0, length), what);
    }
    // The next start begins empty.
    const server = await serve(file);
    expect(await messagesOf(server)).toBe(0);
    await server.stop();
  }, 60_000);

  /** Starts with a copy of the file, which is cut off to `length` bytes just before it is read for the nth time. */
  async function startWhileCut(bytes: Uint8Array, nth: number, length: number) {
    const file = join(makeFolder(), "queue");
    writeFileSync(file, bytes);
    const server = new TinyMQServer({ snapshot: file });
    let reads = 0;
    const { readSync } = fs;
    const read = spyOn(fs, "readSync").mockImplementation(((...args: Parameters<typeof readSync>) => {
      reads += 1;
      if (reads === nth) truncateSync(file, length);
      return readSync(...args);
    }) as typeof readSync);
    const error = await server.start(HOST, 0).then(
      () => null,
      (thrown) => thrown,
    );
    read.mockRestore();
    await server.stop();
    return { file, error, finished: reads < nth };
  }

  test("that is cut off at any moment while it is read is named and kept aside, and the server does not start", async () => {
    const { bytes } = await smallSnapshot();
    const cut = 20;
    let nth = 1;
    for (; ; nth++) {
      const { file, error, finished } = await startWhileCut(bytes, nth, cut);
      if (finished) break;
      expect({ nth, code: error?.code }).toEqual({ nth, code: "DATA_LOSS" });
      expect(error.message).toContain(`${file} is damaged (it is cut off)`);
      expect(error.message).toContain(`${file}.damaged`);
      expect(existsSync(file)).toBe(false);
      expect(readFileSync(`${file}.damaged`).equals(bytes.subarray(0, cut))).toBe(true);
    }
    // The first bytes, all of it, its checksum, and at least one record, with its length.
    expect(nth).toBeGreaterThan(5);
  });

  test("that has lost our first bytes while it is read may be anybody's: it is named and left", async () => {
    const { bytes } = await smallSnapshot();
    const { file, error } = await startWhileCut(bytes, 2, 0);
    expect(error?.code).toBe("FAILED_PRECONDITION");
    expect(error.message).toContain(`snapshot: ${file} is not a tinyMQ snapshot`);
    expect(statSync(file).size).toBe(0);
    expect(existsSync(`${file}.damaged`)).toBe(false);
  });
});

test("a whole snapshot that cannot be restored stays, and the error says what to do", async () => {
  const file = join(makeFolder(), "queue");
  const head = { instance: "i", writtenAt: 1, version: "99.0.0" };
  const record = SnapshotRecord.toBinary({ kind: { oneofKind: "head", head } });
  const length = new Uint8Array(4);
  new DataView(length.buffer).setUint32(0, record.length, true);
  const records = Buffer.concat([Buffer.from("tinymq-1"), length, record]);
  const bytes = Buffer.concat([records, new Bun.CryptoHasher("sha256").update(records).digest()]);
  writeFileSync(file, bytes);
  const server = new TinyMQServer({ snapshot: file });
  const error = await server.start(HOST, 0).catch((thrown) => thrown);
  await server.stop();
  expect(error.code).toBe("FAILED_PRECONDITION");
  expect(error.message).toContain(`snapshot: ${file} is intact, but version`);
  expect(error.message).toContain("its last record is missing");
  expect(error.message).toContain(
    "start version 99.0.0, which wrote it, or move the file elsewhere to begin empty",
  );
  expect(readFileSync(file).equals(bytes)).toBe(true);
});

describe("a server process", () => {
  test("that crashes after it restored does not bring consumed messages back", async () => {
    const folder = makeFolder();
    const file = join(folder, "queue");
    const first = await startServer({ snapshot: file }, folder);
    await send(first.port, "crash", numbers(0, 100));
    expect(await first.stop()).toMatchObject({ code: 0 });

    const second = await startServer({ snapshot: file }, folder);
    expect(existsSync(file)).toBe(false);
    expect(existsSync(`${file}.restored`)).toBe(true);
    expect(await drain(second.port, "crash")).toEqual(numbers(0, 100));
    process.kill(second.pid, "SIGKILL");
    await second.ended();

    const third = await startServer({ snapshot: file }, folder);
    expect((await third.status()).messages).toBe(0);
  }, 30_000);

  test("that is told to start from a damaged file says so and exits with 1", async () => {
    const folder = makeFolder();
    const file = join(folder, "queue");
    writeFileSync(file, "tinymq-1 and then no snapshot, though it is long enough to be one");
    const { code, log } = await new ServerProcess({ snapshot: file }, folder).ended();
    expect(code).toBe(1);
    expect(log).toContain(`snapshot: ${file} is damaged`);
  }, 30_000);

  test("that could not write its snapshot does not start, says so and exits with 1", async () => {
    const folder = makeFolder();
    const file = join(folder, "missing", "queue");
    const { code, log } = await new ServerProcess({ snapshot: file }, folder).ended();
    expect(code).toBe(1);
    expect(log).toContain(`snapshot: the folder ${join(folder, "missing")} does not exist: create it`);
  }, 30_000);

  test("that cannot write its snapshot any more says so and exits with 1", async () => {
    const folder = makeFolder();
    const parent = join(folder, "parent");
    mkdirSync(parent);
    const server = await startServer({ snapshot: join(parent, "queue") }, folder);
    await send(server.port, "lost", [1]);
    rmSync(parent, { recursive: true });
    const { code, log } = await server.stop();
    expect(code).toBe(1);
    expect(log).toContain(join(parent, "queue"));
  }, 30_000);
});

async function messagesOf(server: TinyMQServer): Promise<number> {
  const url = `http://${HOST}:${server.port}/twirp/tinymq.v1.Admin/GetStatus`;
  const response = await fetch(url, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: "{}",
  });
  return Number(((await response.json()) as { messages: string }).messages);
}
