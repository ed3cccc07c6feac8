/** A journal in a SQLite file: the contract, files that are not what they should be, and a process that is killed. */
import { Database } from "bun:sqlite";
import { afterAll, expect, test } from "bun:test";
import {
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { SqliteJournal } from "../../src/journal/sqlite/sqlite-journal.ts";
import { contract, failure, type Place, replayed } from "./contract.ts";

const folder = mkdtempSync(join(tmpdir(), "tinymq-journal-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

let files = 0;
const newPath = () => join(folder, `${++files}.db`);
const bytesOf = (text: string) => new TextEncoder().encode(text);

function makePlace(): Place {
  const path = newPath();
  return { open: () => SqliteJournal.open(path, "normal") };
}

contract("sqlite", makePlace);

/** A closed journal with the records "1" to "3". */
async function written(): Promise<string> {
  const path = newPath();
  const journal = await SqliteJournal.open(path, "full");
  for (let number = 1; number <= 3; number++) await journal.write(bytesOf(`${number}`), number);
  await journal.close();
  return path;
}

/** Why it cannot be opened; and that it is as it was. */
async function refusal(path: string): Promise<unknown> {
  const before = readFileSync(path);
  const error = await failure(SqliteJournal.open(path, "full"));
  expect(readFileSync(path).equals(before)).toBe(true);
  return error;
}

test("a file that is no journal is left unchanged", async () => {
  const text = newPath();
  writeFileSync(text, "a list of things to do\n".repeat(300));
  expect(await refusal(text)).toMatchObject({
    code: "FAILED_PRECONDITION",
    message: expect.stringMatching(/is not a journal of tinyMQ/),
  });
  const other = newPath();
  const database = new Database(other, { create: true });
  database.run("CREATE TABLE album (name TEXT)");
  database.close();
  expect(await refusal(other)).toMatchObject({
    code: "FAILED_PRECONDITION",
    message: expect.stringMatching(/is not a journal of tinyMQ/),
  });
});

test("one that a newer version wrote is left unchanged", async () => {
  const path = await written();
  const database = new Database(path);
  database.run("PRAGMA user_version = 2");
  database.run("PRAGMA wal_checkpoint(TRUNCATE)");
  database.close();
  expect(await refusal(path)).toMatchObject({
    code: "FAILED_PRECONDITION",
    message: expect.stringMatching(/newer version.*schema 2/),
  });
});

test("links and folders are refused, and a folder that does not exist", async () => {
  const path = await written();
  const link = newPath();
  symlinkSync(path, link);
  expect(await refusal(link)).toMatchObject({
    code: "FAILED_PRECONDITION",
    message: expect.stringMatching(/is a link/),
  });
  const inside = newPath();
  mkdirSync(inside);
  expect(await failure(SqliteJournal.open(inside, "full"))).toMatchObject({
    message: expect.stringMatching(/is not a file/),
  });
  const nowhere = join(folder, "nowhere", "queue.db");
  expect(await failure(SqliteJournal.open(nowhere, "full"))).toMatchObject({
    code: "UNAVAILABLE",
    message: expect.stringMatching(/cannot open .*nowhere/),
  });
});

test("while one has it open, another is refused", async () => {
  const path = newPath();
  const first = await SqliteJournal.open(path, "full");
  await first.write(bytesOf("1"), 1);
  expect(await failure(SqliteJournal.open(path, "full"))).toMatchObject({
    code: "FAILED_PRECONDITION",
    message: expect.stringMatching(/in use by another process/),
  });
  await first.write(bytesOf("2"), 2);
  await first.close();
  const second = await SqliteJournal.open(path, "full");
  expect(await replayed(second)).toHaveLength(2);
  await second.close();
});

test("a record that is missing, changed, or in another's place is told, and nothing is handed out in its place", async () => {
  const damages: [sql: string, told: RegExp][] = [
    ["DELETE FROM record WHERE number = 2", /record 2 is missing/],
    ["UPDATE record SET sealed = zeroblob(14) WHERE number = 2", /record 2 .*format 0/],
    [
      "UPDATE record SET sealed = CAST(substr(sealed, 1, 13) || 'x' AS BLOB) WHERE number = 2",
      /record 2 .*checksum/,
    ],
    ["UPDATE record SET sealed = substr(sealed, 1, 5) WHERE number = 2", /record 2 .*cut off/],
    [
      "UPDATE record SET sealed = (SELECT sealed FROM record WHERE number = 3) WHERE number = 2",
      /record 2 .*another/,
    ],
  ];
  for (const [sql, told] of damages) {
    const path = newPath();
    copyFileSync(await written(), path);
    const database = new Database(path);
    database.run(sql);
    database.close();
    const journal = await SqliteJournal.open(path, "full");
    const seen: number[] = [];
    const replay = journal.replay((_record, number) => void seen.push(number));
    expect(await failure(replay)).toMatchObject({ code: "DATA_LOSS", message: expect.stringMatching(told) });
    expect(seen).toEqual([]);
    await journal.close();
  }
});

test("any byte of the file that changes is noticed, or changes nothing that counts", async () => {
  const path = await written();
  const intact = readFileSync(path);
  for (let at = 100; at < intact.length; at += 37) {
    const changed = newPath();
    const bytes = Buffer.from(intact);
    bytes[at]! ^= 0x41;
    writeFileSync(changed, bytes);
    try {
      const journal = await SqliteJournal.open(changed, "full");
      const kept = await replayed(journal).finally(() => journal.close());
      // The newest may be missing as a whole only where the page says so: it is not.
      expect(kept.map(({ bytes: hex }) => Buffer.from(hex, "hex").toString())).toEqual(["1", "2", "3"]);
    } catch (error) {
      expect(["DATA_LOSS", "FAILED_PRECONDITION", "UNAVAILABLE"]).toContain((error as { code: string }).code);
    }
    rmSync(changed, { force: true });
  }
});

const WRITER = `
  const { SqliteJournal } = await import(process.argv[1]);
  const journal = await SqliteJournal.open(process.argv[2], "full");
  await journal.replay(() => {});
  for (let number = journal.figures.next; ; number++) {
    await journal.write(new TextEncoder().encode("record " + number), number);
    process.stdout.write(number + "\\n");
  }
`;

test("a process that is killed again and again loses no record that was safe", async () => {
  const path = newPath();
  const module = join(import.meta.dir, "../../src/journal/sqlite/sqlite-journal.ts");
  let safe = 0;
  for (let life = 0; life < 8; life++) {
    const child = Bun.spawn([process.execPath, "-e", WRITER, module, path], {
      stdout: "pipe",
      stderr: "inherit",
    });
    let told = "";
    for await (const part of child.stdout) {
      told += Buffer.from(part).toString();
      if (told.split("\n").length > 20 + 7 * life) child.kill("SIGKILL");
    }
    await child.exited;
    safe = Number(told.trimEnd().split("\n").at(-2) ?? safe);
    const journal = await SqliteJournal.open(path, "full");
    const kept = await replayed(journal);
    await journal.close();
    expect(kept.length).toBeGreaterThanOrEqual(safe);
    expect(kept.map(({ bytes }) => Buffer.from(bytes, "hex").toString())).toEqual(
      kept.map((_, index) => `record ${index + 1}`),
    );
  }
  expect(safe).toBeGreaterThan(100);
});
