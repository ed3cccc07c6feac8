/** A server's life as its user sees it: start, status, stop, and what stands in their way. */
import { describe, expect, test } from "bun:test";
import { chmodSync, existsSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { identifyProcess } from "../../cli/daemon/process-identity.ts";
import { finish, makeState, NOT_RUNNING, until } from "./support.ts";

const LINUX = process.platform === "linux";

describe("start, status, stop", () => {
  const state = makeState();
  let pid = 0;
  let port = 0;

  test("start returns when the server is ready, and says where it is", async () => {
    const { code, stdout, stderr } = await state.run(["start", "--port", "0"]);
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    const record = state.record()!;
    ({ pid, port } = record);
    expect(stdout).toContain(`ws://localhost:${port}\n`);
    expect(stdout).toMatch(new RegExp(`^pid +${pid}$`, "m"));
    expect(stdout).toContain(record.log);
    expect(stdout).toContain(" produce greetings");
    expect((await fetch(`http://localhost:${port}/`)).status).toBeLessThan(600);
  });

  test("its files are private", () => {
    expect(statSync(state.home).mode & 0o777).toBe(0o700);
    expect(readdirSync(state.home).sort()).toEqual(["tinymq.log", "tinymq.pid"]);
    for (const name of readdirSync(state.home))
      expect(statSync(join(state.home, name)).mode & 0o777).toBe(0o600);
  });

  test.skipIf(!LINUX)("it has a session of its own and holds no folder", () => {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1]!.split(" ");
    expect(Number(stat[3])).toBe(pid);
    expect(Bun.spawnSync(["readlink", `/proc/${pid}/cwd`]).stdout.toString()).toBe("/\n");
  });

  test("a second start says who runs", async () => {
    const again = await state.run(["start", "--port", "0"]);
    const message = `error: tinyMQ is already running: pid ${pid}, ws://localhost:${port}\n`;
    expect(again).toEqual({ code: 1, stdout: "", stderr: message });
    expect(await state.run(["start", "--foreground", "--port", "0"])).toEqual(again);
  });

  test("status", async () => {
    const { code, stdout, stderr } = await state.run(["status"]);
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    expect(stdout).toContain("tinyMQ 0.1.0 is running.");
    expect(stdout).toMatch(new RegExp(`^pid +${pid}$`, "m"));
    for (const row of ["uptime", "topics", "messages", "memory"])
      expect(stdout).toMatch(new RegExp(`^${row} `, "m"));
  });

  test("status --json", async () => {
    const { code, stdout } = await state.run(["status", "--json"]);
    expect(code).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({
      running: true,
      address: `ws://localhost:${port}`,
      pid,
      port,
      version: "0.1.0",
      topics: 0,
      messages: 0,
      memoryLimit: 256 * 1024 * 1024,
      counters: { produced: 0 },
    });
  });

  test("status of a server by its address", async () => {
    const elsewhere = { env: { TINYMQ_HOME: join(state.folder, "nothing") } };
    const shown = await state.run(["status", "--port", String(port)], elsewhere);
    expect(shown.stdout).toMatch(new RegExp(`^pid +${pid}$`, "m"));
    expect((await state.run(["status"], { env: { ...elsewhere.env, TINYMQ_PORT: String(port) } })).code).toBe(
      0,
    );
    expect((await state.run(["status"], elsewhere)).code).toBe(1);
    expect(existsSync(elsewhere.env.TINYMQ_HOME)).toBe(false);
  });

  test("no proxy is asked for a server on this machine", async () => {
    for (const proxy of ["HTTP_PROXY", "http_proxy"]) {
      for (const noProxy of [undefined, "example.org"]) {
        const env = { [proxy]: "http://127.0.0.1:1", NO_PROXY: noProxy };
        expect(await state.run(["status"], { env })).toMatchObject({ code: 0, stderr: "" });
      }
    }
    const env = { http_proxy: "http://127.0.0.1:1", no_proxy: "example.org", NO_PROXY: undefined };
    expect(await state.run(["topics"], { env })).toMatchObject({ code: 0, stderr: "" });
  });

  test("stop returns when it is gone", async () => {
    expect(await state.run(["stop"])).toEqual({
      code: 0,
      stdout: `tinyMQ is stopped (pid ${pid}).\n`,
      stderr: "",
    });
    expect(identifyProcess(pid)).toBeNull();
    expect(readdirSync(state.home)).toEqual(["tinymq.log"]);
  });

  test("then nothing runs", async () => {
    const nothing = { code: 1, stdout: "", stderr: expect.stringMatching(NOT_RUNNING) };
    expect(await state.run(["stop"])).toEqual(nothing);
    expect(await state.run(["status"])).toEqual(nothing);
  });

  test("the first version's form does the same", async () => {
    const words = ["--host", "localhost", "--port", "0", "--startserver", "--log-level", "debug"];
    expect((await state.run(words)).code).toBe(0);
    expect(state.record()!.host).toBe("localhost");
    expect((await state.run(["--stopserver"])).code).toBe(0);
    expect(state.record()).toBeNull();
  });
});

describe("options", () => {
  test("come from the environment too, and what is given wins", async () => {
    const state = makeState();
    const env = { TINYMQ_PORT: "0", TINYMQ_MAX_MEMORY: "32MiB", TINYMQ_HOST: "127.0.0.1" };
    expect((await state.run(["start", "--max-memory", "64MiB"], { env })).code).toBe(0);
    const { memoryLimit, address } = JSON.parse((await state.run(["status", "--json"])).stdout);
    expect(memoryLimit).toBe(64 * 1024 * 1024);
    expect(address).toStartWith("ws://127.0.0.1:");
    await state.run(["stop"]);
  });

  test("a token file is found from where the user is; clients of the same user need not name it", async () => {
    const state = makeState();
    writeFileSync(join(state.folder, "token.txt"), "a-secret\n");
    chmodSync(join(state.folder, "token.txt"), 0o640);
    const words = ["start", "--port", "0", "--token-file", "token.txt"];
    const told = `other users can read or change the token file; run: chmod 600 '${join(state.folder, "token.txt")}'\n`;
    expect(await state.run(words)).toMatchObject({ code: 0, stderr: `warning: ${told}` });
    expect(readFileSync(state.record()!.log, "utf8").split(told).length).toBe(2);
    await state.run(["stop"]);
    chmodSync(join(state.folder, "token.txt"), 0o600);
    expect(await state.run(words)).toMatchObject({ code: 0, stderr: "" });
    expect((await state.run(["status"])).code).toBe(0);
    const port = String(state.record()!.port);
    expect(await state.run(["topics", "--port", port])).toMatchObject({ code: 0, stderr: "" });
    expect(await state.run(["topics", "--host", "127.0.0.1", "--port", port])).toMatchObject({ code: 0 });
    expect(await state.run(["consume", "t"], { env: { TINYMQ_PORT: port } })).toMatchObject({ code: 0 });
    for (const words of [["status"], ["status", "--port", port]]) {
      const { code, stderr } = await state.run(words, { env: { TINYMQ_TOKEN: "another" } });
      expect(code).toBe(1);
      expect(stderr).toContain("the token is missing or wrong: name its file with --token-file");
    }
    writeFileSync(join(state.folder, "wrong.txt"), "another\n");
    const wrong = await state.run(["status", "--token-file", "wrong.txt"]);
    expect(wrong.code).toBe(1);
    expect(wrong.stderr).toContain("but refused the request");
    await state.run(["stop"]);
  });

  test("a token in the environment does not stay in the server's, and stands nowhere on disk", async () => {
    const state = makeState();
    const env = { TINYMQ_TOKEN: "a-secret-of-the-test" };
    expect((await state.run(["start", "--port", "0"], { env })).code).toBe(0);
    expect((await state.run(["status"])).code).toBe(1);
    expect((await state.run(["status"], { env })).code).toBe(0);
    if (LINUX) {
      for (const file of ["environ", "cmdline"]) {
        const seen = readFileSync(`/proc/${state.record()!.pid}/${file}`, "utf8");
        expect(seen).not.toContain(env.TINYMQ_TOKEN);
      }
    }
    for (const name of readdirSync(state.home)) {
      expect(readFileSync(join(state.home, name), "utf8")).not.toContain(env.TINYMQ_TOKEN);
    }
    await state.run(["stop"]);
  });
});

describe("a start that fails gives the reason, and leaves nothing", () => {
  const state = makeState();
  const other = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data() {} } });

  test.each([
    ["the port is another program's", ["--port", String(other.port)], `${other.port}`],
    ["everybody could connect", ["--host", "0.0.0.0", "--port", "0"], "token"],
    ["the address is nowhere", ["--host", "host.invalid", "--port", "0"], "host.invalid"],
    ["a key without its certificate", ["--port", "0", "--tls-key", "missing.pem"], "tls"],
  ])("%s", async (_why, words, reason) => {
    const background = await state.run(["start", ...words]);
    expect({ code: background.code, stdout: background.stdout }).toEqual({ code: 1, stdout: "" });
    expect(background.stderr).toMatch(/^error: .*\n$/);
    expect(background.stderr).toContain(reason);
    const foreground = await state.run(["start", "--foreground", ...words]);
    expect({ code: foreground.code, stdout: foreground.stdout }).toEqual({ code: 1, stdout: "" });
    expect(foreground.stderr).toContain(background.stderr);
    expect(readdirSync(state.home)).toEqual(["tinymq.log"]);
  });
});

describe("in the foreground", () => {
  test.each(["SIGINT", "SIGTERM"] as const)("%s ends it well", async (signal) => {
    const state = makeState();
    const server = state.spawn(["start", "--foreground", "--port", "0", "--log-format", "json"]);
    const record = await until("the PID file", () => state.record());
    expect(record).toMatchObject({ pid: server.pid, log: "" });
    expect((await state.run(["status"])).code).toBe(0);
    server.kill(signal);
    const { code, stdout, stderr } = await finish(server);
    expect({ code, stdout }).toEqual({ code: 0, stdout: "" });
    const lines = stderr
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line));
    expect(lines.map(({ level }) => level)).toContain("info");
    expect(lines.some(({ message }) => message.includes(signal))).toBe(true);
    expect(readdirSync(state.home)).toEqual([]);
  });

  test("stop ends it too", async () => {
    const state = makeState();
    const server = state.spawn(["start", "--foreground", "--port", "0"]);
    await until("the PID file", () => state.record());
    expect((await state.run(["stop"])).code).toBe(0);
    expect(await server.exited).toBe(0);
  });
});

test("of ten starts at once, exactly one wins, and the others say who", async () => {
  const state = makeState();
  const starts = await Promise.all(Array.from({ length: 10 }, () => state.run(["start", "--port", "0"])));
  const { pid, port } = state.record()!;
  const lost = {
    code: 1,
    stdout: "",
    stderr: `error: tinyMQ is already running: pid ${pid}, ws://localhost:${port}\n`,
  };
  expect(starts.filter(({ code }) => code === 0).length).toBe(1);
  expect(starts.filter(({ code }) => code !== 0)).toEqual(Array.from({ length: 9 }, () => lost));
  expect(readdirSync(state.home).sort()).toEqual(["tinymq.log", "tinymq.pid"]);
  await state.run(["stop"]);
});
