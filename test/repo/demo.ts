/**
 * `make demo`: every line of every text file of this repository goes through a topic, from one process to
 * another, on a server of its own on a free port. What arrives is written to files and compared byte for
 * byte with what was sent.
 *
 * Usage: bun test/repo/demo.ts                       runs the demo
 *        bun test/repo/demo.ts produce PORT FOLDER   one of the two processes that it starts
 *        bun test/repo/demo.ts consume PORT FOLDER   the other one
 */
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, relative } from "node:path";
import { bytes, Consumer, type OutgoingMessage, Producer } from "../../src/index.ts";
import { TinyMQServer } from "../../src/server/index.ts";
import { ROOT } from "./sources.ts";

const TOPIC = "demo";
const NEWLINE = 0x0a;
/** Of the message behind the last line. */
const END = "end";

/** What the consumer prints when it has everything. */
interface Received {
  lines: number;
  /** ms from the first line's arrival to the last's. */
  elapsed: number;
}

const [role, port, folder] = process.argv.slice(2);
if (role === "produce") await produce(Number(port), folder!);
else if (role === "consume") await consume(Number(port), folder!);
else await demonstrate();

async function demonstrate(): Promise<void> {
  const scratch = mkdtempSync(join(tmpdir(), "tinymq-demo-"));
  const server = new TinyMQServer({ port: 0 });
  await server.start();
  try {
    const [toSend, arrived] = [join(scratch, "to-send"), join(scratch, "arrived")];
    // A copy, so that nobody who is just writing in the repository makes the comparison fail.
    const files = textFiles();
    for (const file of files) cpSync(join(ROOT, file), join(toSend, file));
    const consumer = startRole("consume", String(server.port), arrived);
    const producer = startRole("produce", String(server.port), toSend);
    const [printed, ...codes] = await Promise.all([
      new Response(consumer.stdout).text(),
      consumer.exited,
      producer.exited,
    ]);
    if (codes.some((code) => code !== 0)) throw new Error("a process failed");
    const wrong = files.filter((file) => !sameBytes(join(toSend, file), join(arrived, file)));
    if (wrong.length > 0) throw new Error(`not as they were sent: ${wrong.join(", ")}`);
    const { lines, elapsed }: Received = JSON.parse(printed);
    const rate = Math.round(lines / (elapsed / 1_000));
    console.log(
      `${lines.toLocaleString("en")} lines of ${files.length} files went from one process to another ` +
        `in ${elapsed.toFixed(0)} ms (${rate.toLocaleString("en")} lines/s), byte for byte the same.`,
    );
  } finally {
    await server.stop();
    rmSync(scratch, { recursive: true, force: true });
  }
}

function startRole(...words: string[]) {
  return Bun.spawn([process.execPath, import.meta.path, ...words], { stdout: "pipe", stderr: "inherit" });
}

/** Sends each line of the files below `source`, its newline included, with the file it is of as a header. */
async function produce(serverPort: number, source: string): Promise<void> {
  const producer = new Producer("localhost", serverPort, TOPIC, { codec: bytes });
  await producer.initConn();
  await producer.sendBatch(messagesOf(source));
  await producer.close();
}

function* messagesOf(source: string): Generator<OutgoingMessage<Uint8Array>> {
  for (const entry of readdirSync(source, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue;
    const path = join(entry.parentPath, entry.name);
    const headers = { file: relative(source, path) };
    for (const body of linesOf(readFileSync(path))) yield { body, headers };
  }
  yield { body: new Uint8Array(), headers: { [END]: "" } };
}

/** Puts the files together again below `target`. */
async function consume(serverPort: number, target: string): Promise<void> {
  const consumer = new Consumer("localhost", serverPort, TOPIC, { codec: bytes });
  await consumer.initConn();
  const files = new Map<string, Uint8Array[]>();
  const received: Received = { lines: 0, elapsed: 0 };
  let start = 0;
  for await (const { body, headers } of consumer) {
    if (headers[END] !== undefined) break;
    start ||= performance.now();
    const lines = files.get(headers.file!) ?? [];
    if (lines.length === 0) files.set(headers.file!, lines);
    lines.push(body);
    received.lines += 1;
  }
  received.elapsed = performance.now() - start;
  await consumer.close();
  for (const [file, lines] of files) {
    const path = join(target, file);
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, Buffer.concat(lines));
  }
  console.log(JSON.stringify(received));
}

/** The repository's files that hold text, and at least one line of it. */
function textFiles(): string[] {
  const { stdout } = Bun.spawnSync(["git", "ls-files", "-z"], { cwd: ROOT });
  return stdout
    .toString()
    .split("\0")
    .filter((file) => file !== "" && existsSync(join(ROOT, file)))
    .filter((file) => {
      const content = readFileSync(join(ROOT, file));
      return content.length > 0 && !content.includes(0);
    });
}

function linesOf(content: Uint8Array): Uint8Array[] {
  const lines: Uint8Array[] = [];
  for (let start = 0; start < content.length; ) {
    const newline = content.indexOf(NEWLINE, start);
    const end = newline === -1 ? content.length : newline + 1;
    lines.push(content.subarray(start, end));
    start = end;
  }
  return lines;
}

function sameBytes(one: string, other: string): boolean {
  return existsSync(other) && readFileSync(one).equals(readFileSync(other));
}
