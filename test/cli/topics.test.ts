/** What the command line says of topics: those held back, those of dead letters, and those with a new name. */
import { beforeAll, describe, expect, test } from "bun:test";
import { join } from "node:path";
import { Consumer, Producer } from "../../src/index.ts";
import { FakeServer } from "../client/fake-server.ts";
import { CLI, cleanEnvironment, makeState, until, willEnd } from "./support.ts";

const HOST = "127.0.0.1";
const state = makeState();
let port = 0;

beforeAll(async () => {
  expect((await state.run(["start", "--port", "0"])).code).toBe(0);
  ({ port } = state.record()!);
});

async function store(topic: string, ...bodies: string[]): Promise<void> {
  await using producer = new Producer(HOST, port, topic);
  await producer.initConn();
  await producer.sendBatch(bodies.map((body) => ({ body })));
}

describe("topics", () => {
  const list = async (...words: string[]) => (await state.run(["topics", ...words])).stdout;

  test("shows for how long a topic is held back, where one is", async () => {
    await store("held", "a", "b");
    await store("free", "a");
    expect(await list()).not.toContain("held for");
    expect(JSON.parse(await list("--json"))).toMatchObject([{ heldMs: 0 }, { heldMs: 0 }]);
    await using consumer = new Consumer(HOST, port, "held");
    await consumer.initConn();
    for await (const message of consumer) {
      message.retry({ delay: "10m" });
      break;
    }
    await until("the hold", async () => JSON.parse(await list("--json", "--prefix", "held"))[0].heldMs > 0);
    const [title, free, held] = (await list()).split("\n");
    expect(title).toEndWith("  subscribers  held for");
    expect(held).toMatch(/^held .* (?:9 m \d+ s|10 m)$/);
    expect(free).toMatch(/^free .* 0$/);
    const [found] = JSON.parse(await list("--json", "--prefix", "held"));
    expect(found.heldMs).toBeWithin(500_000, 600_001);
  });

  test.each([
    ["orders", "orders", "orders.dead"],
    ["jobs.dead", "jobs", "jobs.dead"],
    ["a.dead.dead", "a.dead", "a.dead.dead"],
  ])("redrive %s says that messages went to %s", async (given, topic, dead) => {
    await store(dead, "x", "y");
    const stdout = `2 messages moved back to ${topic}\n`;
    expect(await state.run(["topics", "redrive", given])).toEqual({ code: 0, stdout, stderr: "" });
    expect(JSON.parse(await list("--json", "--prefix", topic))[0]).toMatchObject({ name: topic, ready: 2 });
  });
});

describe("a topic without messages", () => {
  /** What the program writes to a terminal until it ends, or until `end` is in it where it waits for more. */
  async function shown(words: string[], end = ""): Promise<string> {
    let text = "";
    const decoder = new TextDecoder();
    const program = willEnd(
      Bun.spawn([process.execPath, join(CLI, "main.ts"), ...words], {
        env: { ...cleanEnvironment(), TINYMQ_HOME: state.home },
        terminal: {
          data(_terminal, data) {
            text += decoder.decode(data, { stream: true });
          },
        },
      }),
    );
    if (end !== "") {
      await until(`${words.join(" ")} to write "${end}"`, () => text.includes(end));
      program.kill("SIGINT");
    }
    const code = await program.exited;
    if (end === "") expect(code).toBe(0);
    program.terminal?.close();
    return text;
  }

  test("is noted at a terminal, with the name that was meant perhaps", async () => {
    await store("invoices", "one");
    const note = (topic: string) => `topic "${topic}" is empty, and the server knows of no earlier messages`;
    const meant = "; did you mean invoices?\r\n";
    expect(await shown(["consume", "invoces"])).toBe(note("invoces") + meant);
    // The first call has made the topic.
    expect(await shown(["consume", "invoces"])).toBe(note("invoces") + meant);
    expect(await shown(["tail", "envoices"], "?")).toBe(note("envoices") + meant);
    expect(await shown(["consume", "something", "--follow"], "earlier messages")).toBe(
      `${note("something")}\r\n`,
    );
    expect(await shown(["consume", "invoices"])).toBe("one\r\n");
    // Empty, and not new.
    expect(await shown(["consume", "invoices"])).toBe("");
  });

  test("a server that cannot be asked costs the note, and not the command", async () => {
    const server = new FakeServer();
    const words = ["consume", "jobs", "--follow", "--host", HOST, "--port", String(server.port)];
    const opened = server.consume();
    const text = await shown(words, "no such method");
    await opened;
    await server.stop();
    expect(text).toStartWith('cannot tell whether topic "jobs" ever had messages: http://127.0.0.1:');
    expect(text).not.toContain("error");
  });

  test("scripts are told nothing", async () => {
    expect(await state.run(["consume", "invoicse"])).toEqual({ code: 0, stdout: "", stderr: "" });
  });
});
