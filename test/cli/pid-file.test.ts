/** The PID file: who holds it, what becomes of a stale one, and what is refused. */
import { afterAll, describe, expect, test } from "bun:test";
import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PidFile } from "../../cli/daemon/pid-file.ts";
import { identifyProcess, identifyThisProcess } from "../../cli/daemon/process-identity.ts";
import { readRecord, type ServerRecord } from "../../cli/daemon/server-record.ts";
import { endChildren, willEnd } from "./support.ts";

const folder = mkdtempSync(join(tmpdir(), "tinymq-pid-file-"));
let count = 0;

afterAll(() => {
  endChildren();
  rmSync(folder, { recursive: true, force: true });
});

function newFile(): PidFile {
  count += 1;
  const own = join(folder, String(count));
  mkdirSync(own);
  return new PidFile(join(own, "tinymq.pid"));
}

function recordOf({ pid, startTime }: { pid: number; startTime: string }): ServerRecord {
  return {
    pid,
    startTime,
    host: "localhost",
    port: 1,
    addresses: ["127.0.0.1"],
    tls: false,
    tokenFile: "",
    version: "0.0.0",
    log: "",
    startedAt: new Date().toISOString(),
  };
}

/** A process of this test that does nothing. */
function sleeper(): { pid: number; startTime: string; end(): Promise<unknown> } {
  const child = willEnd(Bun.spawn(["sleep", "60"]));
  const startTime = identifyProcess(child.pid)!;
  return {
    pid: child.pid,
    startTime,
    end() {
      child.kill("SIGKILL");
      return child.exited;
    },
  };
}

function put(file: PidFile, record: ServerRecord): void {
  writeFileSync(file.path, JSON.stringify(record), { mode: 0o600 });
}

const self = recordOf(identifyThisProcess());
const stale = recordOf({ pid: process.pid, startTime: "another boot 1" });

describe("identity", () => {
  test("of a process that is gone, or waits to be reaped, is null", async () => {
    const child = sleeper();
    expect(child.startTime).toBe(identifyProcess(child.pid)!);
    await child.end();
    expect(identifyProcess(child.pid)).toBeNull();
  });

  test("stays the same while a process lives", () => {
    expect(identifyProcess(process.pid)).toBe(self.startTime);
  });
});

describe("claim and release", () => {
  test("a free file is taken, complete and private", () => {
    const file = newFile();
    expect(file.holder()).toBeNull();
    expect(file.claim(self)).toBeNull();
    expect(file.holder()).toEqual(self);
    expect(statSync(file.path).mode & 0o777).toBe(0o600);
    expect(readdirSync(join(file.path, ".."))).toEqual(["tinymq.pid"]);
    file.release(self);
    expect(readdirSync(join(file.path, ".."))).toEqual([]);
  });

  test("a live holder keeps it", () => {
    const file = newFile();
    const other = recordOf(sleeper());
    put(file, other);
    expect(file.claim(self)).toEqual(other);
    file.release(self);
    expect(file.removeStale()).toBe(false);
    expect(readRecord(file.path)).toEqual(other);
  });

  test("a dead one's is taken over", () => {
    const file = newFile();
    put(file, stale);
    expect(file.holder()).toBeNull();
    expect(file.claim(self)).toBeNull();
    expect(file.holder()).toEqual(self);
  });

  test("what is set aside is found there, and nobody takes its place", () => {
    const file = newFile();
    const other = recordOf(sleeper());
    writeFileSync(`${file.path}.aside-1`, JSON.stringify(other), { mode: 0o600 });
    expect(file.holder()).toEqual(other);
    expect(file.claim(self)).toEqual(other);
    expect(readdirSync(join(file.path, ".."))).toEqual(["tinymq.pid.aside-1"]);
  });

  test("what a dead process has set aside is removed", () => {
    const file = newFile();
    writeFileSync(`${file.path}.aside-1`, JSON.stringify(stale), { mode: 0o600 });
    expect(file.claim(self)).toBeNull();
    expect(readdirSync(join(file.path, ".."))).toEqual(["tinymq.pid"]);
  });
});

describe("refused, and named", () => {
  test.each([
    [
      "garbage",
      (path: string) => writeFileSync(path, "4711\n", { mode: 0o600 }),
      "was not written by tinyMQ",
    ],
    ["nothing", (path: string) => writeFileSync(path, "", { mode: 0o600 }), "was not written by tinyMQ"],
    [
      "JSON of another kind",
      (path: string) => writeFileSync(path, "null", { mode: 0o600 }),
      "was not written by tinyMQ",
    ],
    [
      "a record with a number for all processes",
      (path: string) => writeFileSync(path, JSON.stringify({ ...self, pid: -1 }), { mode: 0o600 }),
      "was not written by tinyMQ",
    ],
    [
      "a large file",
      (path: string) => writeFileSync(path, " ".repeat(100_000), { mode: 0o600 }),
      "was not written by tinyMQ",
    ],
    ["a folder", (path: string) => mkdirSync(path), "is a folder"],
    ["a named pipe", (path: string) => Bun.spawnSync(["mkfifo", path]), "is not a regular file"],
    [
      "a file that others may write",
      (path: string) => {
        writeFileSync(path, JSON.stringify(self));
        chmodSync(path, 0o622);
      },
      "can be written by others",
    ],
    [
      "a symbolic link",
      (path: string) => {
        writeFileSync(`${path}.target`, JSON.stringify(self), { mode: 0o600 });
        symlinkSync(`${path}.target`, path);
      },
      "is a symbolic link",
    ],
    ["a symbolic link to nothing", (path: string) => symlinkSync("/nowhere", path), "is a symbolic link"],
  ])("%s", (_what, make, why) => {
    const file = newFile();
    make(file.path);
    const message = `the PID file ${file.path} ${why}`;
    expect(() => file.holder()).toThrow(message);
    expect(() => file.claim(self)).toThrow(message);
    expect(() => file.release(self)).toThrow(message);
    expect(readdirSync(join(file.path, "..")).filter((name) => /aside|new/.test(name))).toEqual([]);
  });
});

describe("many at once", () => {
  const CLAIMANTS = 6;
  const ROUNDS = 30;

  /** Claims each of the files in turn, as soon as it is there, and says which it got. */
  const CLAIMANT = `
    import { PidFile } from ${JSON.stringify(join(import.meta.dir, "../../cli/daemon/pid-file.ts"))};
    import { identifyThisProcess } from ${JSON.stringify(join(import.meta.dir, "../../cli/daemon/process-identity.ts"))};
    import { existsSync } from "node:fs";
    const record = { ...${JSON.stringify(self)}, ...identifyThisProcess() };
    const won = [];
    process.stdout.write("ready\\n");
    for (let round = 0; round < ${ROUNDS}; round += 1) {
      const folder = process.argv[2] + "/round-" + round;
      while (!existsSync(folder)) {}
      if (new PidFile(folder + "/tinymq.pid").claim(record) === null) won.push(round);
    }
    process.stdout.write(JSON.stringify(won) + "\\n");
    await Bun.stdin.text();
  `;

  test.each(["a stale file", "no file"])(
    "where there is %s, exactly one gets it",
    async (kind) => {
      const arena = mkdtempSync(join(folder, "arena-"));
      const script = join(arena, "claimant.ts");
      writeFileSync(script, CLAIMANT);
      const claimants = Array.from({ length: CLAIMANTS }, () => {
        return willEnd(Bun.spawn([process.execPath, script, arena], { stdin: "pipe", stdout: "pipe" }));
      });
      const answers = claimants.map((claimant) => linesOf(claimant.stdout));
      for (const lines of answers) expect((await lines.next()).value).toBe("ready");
      for (let round = 0; round < ROUNDS; round += 1) {
        const draft = join(arena, `draft-${round}`);
        mkdirSync(draft, { mode: 0o700 });
        if (kind === "a stale file") put(new PidFile(join(draft, "tinymq.pid")), stale);
        renameSync(draft, join(arena, `round-${round}`));
      }
      const won = await Promise.all(
        answers.map(async (lines) => JSON.parse((await lines.next()).value!) as number[]),
      );
      for (let round = 0; round < ROUNDS; round += 1) {
        const winners = claimants.filter((_, index) => won[index]!.includes(round));
        expect(winners.length).toBe(1);
        const file = new PidFile(join(arena, `round-${round}`, "tinymq.pid"));
        expect(file.holder()?.pid).toBe(winners[0]!.pid);
        expect(readdirSync(join(arena, `round-${round}`))).toEqual(["tinymq.pid"]);
      }
      for (const claimant of claimants) claimant.stdin.end();
      await Promise.all(claimants.map(({ exited }) => exited));
    },
    30_000,
  );
});

async function* linesOf(stream: ReadableStream<Uint8Array>): AsyncGenerator<string, undefined> {
  let rest = "";
  for await (const chunk of stream) {
    const lines = (rest + new TextDecoder().decode(chunk)).split("\n");
    rest = lines.pop()!;
    yield* lines;
  }
}

test("a removal that meets the file of another, which came in between, puts it back", () => {
  const file = newFile();
  const other = recordOf(sleeper());
  put(file, stale);
  let looks = 0;
  const meant = {
    ...stale,
    // Between the first look and the removal, another start has taken the stale file over.
    get pid() {
      looks += 1;
      if (looks === 1) {
        rmSync(file.path);
        put(file, other);
      }
      return stale.pid;
    },
  };
  file.release(meant);
  expect(looks).toBe(2);
  expect(readRecord(file.path)).toEqual(other);
  expect(readdirSync(join(file.path, ".."))).toEqual(["tinymq.pid"]);
});
