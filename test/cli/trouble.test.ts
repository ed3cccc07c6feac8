/** What `start`, `stop` and `status` do where something is wrong. */
import { describe, expect, test } from "bun:test";
import { chmodSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { startInBackground } from "../../cli/daemon/background.ts";
import { identifyProcess } from "../../cli/daemon/process-identity.ts";
import type { Handover } from "../../cli/daemon/serve.ts";
import { PID_FILE } from "../../cli/daemon/state-folder.ts";
import { makeState, NOT_RUNNING, type State, until, willEnd } from "./support.ts";

const STAND_IN = join(import.meta.dir, "stand-in.ts");

/** Writes a PID file for a process of the test. */
function writePidFile(state: State, pid: number, changes: object = {}): void {
  mkdirSync(state.home, { mode: 0o700 });
  const record = {
    pid,
    startTime: identifyProcess(pid),
    host: "localhost",
    port: 1,
    addresses: [],
    tls: false,
    tokenFile: "",
    version: "0.0.0",
    log: "",
    startedAt: new Date().toISOString(),
    ...changes,
  };
  writeFileSync(join(state.home, PID_FILE), JSON.stringify(record), { mode: 0o600 });
}

function sleeper() {
  return willEnd(Bun.spawn(["sleep", "60"]));
}

function standIn(state: State, manner: string) {
  return willEnd(
    Bun.spawn([process.execPath, STAND_IN, state.home, manner], {
      stdin: "ignore",
      stdout: "pipe",
      stderr: "pipe",
    }),
  );
}

describe("a PID file that a server left behind", () => {
  test("a stranger with its number gets no signal", async () => {
    const state = makeState();
    const stranger = sleeper();
    writePidFile(state, stranger.pid, { startTime: "an earlier boot 17" });
    expect((await state.run(["status"])).code).toBe(1);
    const { code, stderr } = await state.run(["stop", "--timeout", "10ms"]);
    expect(code).toBe(1);
    expect(stderr).toMatch(NOT_RUNNING);
    expect(readdirSync(state.home)).toEqual([]);
    expect(stranger.exitCode).toBeNull();
    expect(identifyProcess(stranger.pid)).not.toBeNull();
  });

  test("start takes it over", async () => {
    const state = makeState();
    const stranger = sleeper();
    writePidFile(state, stranger.pid, { startTime: "an earlier boot 17" });
    expect((await state.run(["start", "--port", "0"])).code).toBe(0);
    expect(state.record()!.pid).not.toBe(stranger.pid);
    expect((await state.run(["stop"])).code).toBe(0);
    expect(stranger.exitCode).toBeNull();
  });

  test("ten starts at once take it over once", async () => {
    const state = makeState();
    writePidFile(state, process.pid, { startTime: "an earlier boot 17" });
    const starts = await Promise.all(Array.from({ length: 10 }, () => state.run(["start", "--port", "0"])));
    expect(starts.map(({ code }) => code).sort()).toEqual([0, 1, 1, 1, 1, 1, 1, 1, 1, 1]);
    expect((await state.run(["stop"])).code).toBe(0);
  });

  test("after a crash", async () => {
    const state = makeState();
    expect((await state.run(["start", "--port", "0"])).code).toBe(0);
    const { pid } = state.record()!;
    process.kill(pid, "SIGKILL");
    await until("the crash", () => identifyProcess(pid) === null);
    const { stderr } = await state.run(["status"]);
    expect(stderr).toMatch(NOT_RUNNING);
    // The developer may have a server on the default port, which is named instead.
    if (!stderr.includes("but one answers")) {
      expect(stderr).toContain(`the server with pid ${pid} has ended without a stop`);
    }
    expect((await state.run(["start", "--port", "0"])).code).toBe(0);
    expect((await state.run(["stop"])).code).toBe(0);
  });
});

describe("a PID file or a state folder that cannot be trusted", () => {
  test.each([
    ["garbage", (path: string) => writeFileSync(path, "4711", { mode: 0o600 })],
    ["a folder", (path: string) => mkdirSync(path)],
    ["a symbolic link", (path: string) => symlinkSync("/nowhere", path)],
  ])("%s for a PID file stops every command, which names it", async (_what, make) => {
    const state = makeState();
    mkdirSync(state.home, { mode: 0o700 });
    const path = join(state.home, PID_FILE);
    make(path);
    for (const words of [
      ["start", "--port", "0"],
      ["start", "--foreground", "--port", "0"],
      ["stop"],
      ["status"],
    ]) {
      const { code, stdout, stderr } = await state.run(words);
      expect({ code, stdout }).toEqual({ code: 1, stdout: "" });
      expect(stderr).toContain(path);
    }
    Bun.spawnSync(["rm", "-r", path]);
  });

  test("a folder that is a symbolic link, a file, or can be written by others", async () => {
    const state = makeState();
    mkdirSync(join(state.folder, "elsewhere"), { mode: 0o700 });
    symlinkSync(join(state.folder, "elsewhere"), state.home);
    const open = join(state.folder, "open");
    mkdirSync(open);
    chmodSync(open, 0o777);
    writeFileSync(join(state.folder, "file"), "");
    for (const [home, why] of [
      [state.home, "is a symbolic link"],
      [open, "can be written by others"],
      [join(state.folder, "file"), "is not a folder"],
    ] as const) {
      for (const command of ["start", "stop", "status"]) {
        const { code, stderr } = await state.run([command], { env: { TINYMQ_HOME: home } });
        expect({ code, stderr }).toEqual({
          code: 1,
          stderr: expect.stringContaining(`the state folder ${home} ${why}`),
        });
      }
    }
    expect(readdirSync(open)).toEqual([]);
  });
});

describe("stop", () => {
  test("kills what ignores it, after the time limit, and says so", async () => {
    const state = makeState();
    const deaf = standIn(state, "never");
    const { pid } = await until("the stand-in", () => state.record());
    const { code, stdout, stderr } = await state.run(["stop", "--timeout", "100ms"]);
    expect({ code, stdout }).toEqual({ code: 0, stdout: `tinyMQ is stopped (pid ${pid}).\n` });
    expect(stderr).toBe("warning: the server did not stop within 100 ms and is killed\n");
    await deaf.exited;
    expect(deaf.signalCode).toBe("SIGKILL");
    expect(readdirSync(state.home)).toEqual([]);
  });

  test("waits for one that still writes its snapshot", async () => {
    const state = makeState();
    const slow = standIn(state, "slowly");
    await until("the stand-in", () => state.record());
    expect(await state.run(["stop", "--timeout", "300ms"])).toMatchObject({ code: 0, stderr: "" });
    expect(await slow.exited).toBe(0);
  });

  test("tells what went wrong in a stop, once", async () => {
    const state = makeState();
    standIn(state, "unsaved");
    const { pid } = await until("the stand-in", () => state.record());
    const message = `error: tinyMQ is stopped (pid ${pid}), but with an error: the disk is full\n`;
    expect(await state.run(["stop"])).toEqual({ code: 1, stdout: "", stderr: message });
    expect(readdirSync(state.home)).toEqual([]);
  });

  test("a second signal ends a server at once", async () => {
    const state = makeState();
    const deaf = standIn(state, "never");
    await until("the stand-in", () => state.record());
    deaf.kill("SIGTERM");
    await until("the end", () => {
      deaf.kill("SIGINT");
      return deaf.exitCode !== null;
    });
    expect(deaf.exitCode).toBe(130);
    expect(readdirSync(state.home)).toEqual([]);
  });
});

test("status of a server that is there and does not answer", async () => {
  const state = makeState();
  const silent = sleeper();
  writePidFile(state, silent.pid);
  const { code, stdout, stderr } = await state.run(["status"]);
  expect({ code, stdout }).toEqual({ code: 1, stdout: "" });
  expect(stderr).toContain(`tinyMQ is running (pid ${silent.pid}, ws://localhost:1), but does not answer`);
});

test("another program on the server's port", async () => {
  const other = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    fetch: () => new Response("no", { status: 404 }),
  });
  const address = `127.0.0.1:${other.port}`;
  const words = ["topics", "--host", "127.0.0.1", "--port", String(other.port)];
  const { code, stdout, stderr } = await makeState().run(words);
  await other.stop(true);
  expect({ code, stdout }).toEqual({ code: 1, stdout: "" });
  expect(stderr).toStartWith(
    `error: http://${address} answers with HTTP status 404: it does not look like a tinyMQ server: check host and port`,
  );
});

test("a mistake in one handler is logged, and costs nobody the server", async () => {
  const state = makeState();
  const server = standIn(state, "badly");
  let log = "";
  for await (const chunk of server.stderr) {
    log += new TextDecoder().decode(chunk);
    if (log.includes("a mistake")) break;
  }
  expect(log).toContain("error unexpected: Error: a mistake");
  server.kill("SIGTERM");
  expect(await server.exited).toBe(0);
});

describe("starting a process that does not become a server", () => {
  function handover(state: State): Handover {
    mkdirSync(state.home, { mode: 0o700 });
    const log = join(state.home, "tinymq.log");
    return { folder: state.home, version: "0.0.0", options: {}, logLevel: "info", logFormat: "text", log };
  }

  test("it dies without a word", async () => {
    const state = makeState();
    const entry = join(state.folder, "dies.ts");
    writeFileSync(entry, "console.error('last words'); process.exit(7);");
    const told = handover(state);
    const start = startInBackground(told, undefined, entry);
    await expect(start).rejects.toThrow(
      `the server ended before it was ready (exit code 7); its log: ${told.log}`,
    );
    expect(readFileSync(told.log, "utf8")).toBe("last words\n");
  });

  test("it hangs, and the user gives up", async () => {
    const state = makeState();
    const entry = join(state.folder, "hangs.ts");
    const pidPath = join(state.folder, "pid");
    writeFileSync(
      entry,
      `await Bun.write(${JSON.stringify(pidPath)}, String(process.pid)); setInterval(() => {}, 1000);`,
    );
    const patience = new AbortController();
    const start = startInBackground(handover(state), patience.signal, entry);
    const pid = Number(
      await until("the process", () =>
        Bun.file(pidPath)
          .text()
          .catch(() => ""),
      ),
    );
    patience.abort();
    await expect(start).rejects.toThrow("the server ended before it was ready (SIGTERM)");
    expect(identifyProcess(pid)).toBeNull();
  });
});
