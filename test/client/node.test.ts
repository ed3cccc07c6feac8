/** The client in Node: bundled as the package is, on the package `ws`, against the real server. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { TinyMQServer } from "../../src/server/index.ts";

const root = join(import.meta.dir, "../..");
/** Within the repository, so that Node finds the packages. */
const folder = mkdtempSync(join(root, "node_modules/.tinymq-node-"));
let server: TinyMQServer;

beforeAll(async () => {
  const built = await Bun.build({
    entrypoints: [join(root, "src/index.node.ts")],
    target: "node",
    external: ["@protobuf-ts/runtime", "@protobuf-ts/runtime-rpc", "ws"],
    outdir: folder,
    naming: "client.mjs",
  });
  expect(built.success).toBe(true);
  server = new TinyMQServer({ token: "secret" });
  await server.start("127.0.0.1", 0);
});
afterAll(async () => {
  await server.stop();
  rmSync(folder, { recursive: true, force: true });
});

/** What the program prints, as JSON. */
async function inNode(program: string): Promise<unknown> {
  const file = join(folder, "program.mjs");
  writeFileSync(file, `import * as tinymq from "./client.mjs";\nconst port = ${server.port};\n${program}`);
  const child = Bun.spawn(["node", file], { stdout: "pipe", stderr: "pipe" });
  const [output, errors] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    child.exited,
  ]);
  if (child.exitCode !== 0) throw new Error(errors);
  return JSON.parse(output);
}

test("send, poll, loop, errors", async () => {
  const result = await inNode(`
    const options = { token: "secret" };
    const producer = new tinymq.Producer("localhost", port, "node", options);
    const consumer = new tinymq.Consumer("localhost", port, "node", options);
    await Promise.all([producer.initConn(), consumer.initConn()]);
    await Promise.all(Array.from({ length: 3_000 }, (_, id) => producer.send("ä" + id, id, { headers: { n: String(id) } })));
    const polled = [await consumer.poll(), await consumer.poll({ wait: "1s" })];
    let sum = 0;
    for await (const message of consumer) {
      if (message.body !== "ä" + message.id || message.headers.n !== String(message.id)) throw new Error("wrong");
      sum += message.id;
      if (message.id === 2_999) break;
    }
    consumer.ack();
    const large = "x".repeat(900_000);
    await producer.send(large, 1);
    const equal = (await consumer.poll())[1] === large;
    const codes = [];
    const second = new tinymq.Consumer("localhost", port, "node", options);
    await second.initConn().catch((error) => codes.push(error.name));
    await new tinymq.Producer("localhost", port, "t").initConn().catch((error) => codes.push(error.name));
    await new tinymq.Producer("localhost", 1, "t").initConn().catch((error) => codes.push(error.name));
    const { createServer } = await import("node:http");
    const web = createServer((_, response) => response.writeHead(404).end()).listen(0, "127.0.0.1");
    await new Promise((resolve) => web.once("listening", resolve));
    const elsewhere = new tinymq.Producer("127.0.0.1", web.address().port, "t");
    await elsewhere.initConn().catch((error) => codes.push(/HTTP status 404: it does not look like a tinyMQ/.test(error.message)));
    web.close();
    const topics = await tinymq.adminClient("localhost", port, options).listTopics({ prefix: "node", limit: 0, after: "" }).response;
    await Promise.all([producer.close(), consumer.close()]);
    await producer.send("late").catch((error) => codes.push(error.name));
    console.log(JSON.stringify({ polled, sum, equal, codes, total: topics.total }));
  `);
  expect(result).toEqual({
    polled: [
      [0, "ä0"],
      [1, "ä1"],
    ],
    sum: (2_999 * 3_000) / 2 - 1,
    equal: true,
    codes: ["InitFailed", "Unauthenticated", "ConnectionRefusedError", true, "DeadConnectionUsed"],
    total: 1,
  });
});

test("the program ends by itself once everything is closed", async () => {
  const result = await inNode(`
    const states = [];
    const producer = new tinymq.Producer("localhost", port, "t", {
      token: "secret",
      reconnect: { minDelay: 1 },
      onStateChange: (state) => states.push(state),
    });
    await producer.initConn();
    const consumer = new tinymq.Consumer("localhost", port, "t", { token: "secret" });
    await consumer.initConn();
    await producer.send("a");
    await producer.close();
    await consumer.close();
    console.log(JSON.stringify(states));
  `);
  expect(result).toEqual(["connecting", "open", "closed"]);
});

test("sends with mixed options resolve in the order of sending; many clients share a signal without a warning", async () => {
  const result = await inNode(`
    const warnings = [];
    process.on("warning", (warning) => warnings.push(warning.name));
    const options = { token: "secret" };
    const producer = new tinymq.Producer("127.0.0.1", port, "order", options);
    await producer.initConn();
    const order = [];
    await Promise.all(Array.from({ length: 60 }, (_, id) =>
      producer.send("x", id, id % 3 === 0 ? { ttl: "1m" } : id % 5 === 0 ? { headers: { a: "b" }, delay: 1 } : undefined)
        .then(() => order.push(id))));
    const controller = new AbortController();
    const clients = Array.from({ length: 30 }, (_, n) =>
      new tinymq.Subscriber("127.0.0.1", port, "s" + n, { ...options, signal: controller.signal }));
    await Promise.all(clients.map((client) => client.initConn()));
    await new Promise((resolve) => setTimeout(resolve, 10));
    controller.abort();
    const states = new Set(clients.map((client) => client.state));
    await producer.close();
    console.log(JSON.stringify({ sorted: order.every((id, n) => id === n), warnings, states: [...states] }));
  `);
  expect(result).toEqual({ sorted: true, warnings: [], states: ["closed"] });
});

test("acknowledging outside the loop, racing against a timer, stopping", async () => {
  const result = await inNode(`
    const options = { token: "secret" };
    const producer = new tinymq.Producer("127.0.0.1", port, "work", options);
    await producer.initConn();
    await producer.sendBatch(Array.from({ length: 300 }, (_, id) => ({ id, body: "x" })));
    const consumer = new tinymq.Consumer("127.0.0.1", port, "work", { ...options, mode: "shared", autoAck: false });
    await consumer.initConn();
    const hand = [];
    let seen = 0;
    for await (const message of consumer) {
      hand.push(message);
      seen += 1;
      if (hand.length === 40) hand.splice(13, 1)[0].ack();
      if (seen === 300) break;
    }
    for (const message of hand) message.ack();
    await consumer.stop();
    const racer = new tinymq.Consumer("127.0.0.1", port, "work", options);
    await racer.initConn();
    const loop = racer[Symbol.asyncIterator]();
    const raced = [];
    setTimeout(() => producer.sendBatch(Array.from({ length: 10 }, (_, id) => ({ id, body: "y" }))), 60);
    while (raced.length < 10) {
      const step = await Promise.race([loop.next(), new Promise((resolve) => setTimeout(resolve, 5))]);
      if (step !== undefined) raced.push(step.value.id);
    }
    racer.ack();
    await racer.flush();
    await racer.stop();
    await producer.close();
    console.log(JSON.stringify({ seen, raced }));
  `);
  expect(result).toEqual({ seen: 300, raced: [0, 1, 2, 3, 4, 5, 6, 7, 8, 9] });
});
