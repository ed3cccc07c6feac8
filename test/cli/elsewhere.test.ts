/** A server that was started from another state folder: commands reach it, and `status` and `stop` say so. */
import { describe, expect, test } from "bun:test";
import { existsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { CLI, cleanEnvironment, finish, makeState, type Program, willEnd } from "./support.ts";

describe("a server of another state folder", () => {
  const state = makeState();
  const home = join(state.folder, "another");
  const token = { TINYMQ_TOKEN: "a-secret" };

  /** Runs the program where the default port is the server's. */
  function runThere(words: string[], port: number) {
    const preload = join(state.folder, "default-port.ts");
    const table = join(CLI, "../src/server/option-table.ts");
    writeFileSync(
      preload,
      `import { OPTIONS } from ${JSON.stringify(table)};
       OPTIONS.find(({ name }) => name === "port").fallback = ${port};`,
    );
    const command = [process.execPath, "--preload", preload, join(CLI, "main.ts"), ...words];
    const env = { ...cleanEnvironment(), TINYMQ_HOME: home };
    return finish(
      willEnd(
        Bun.spawn(command, { stdin: "ignore", stdout: "pipe", stderr: "pipe", cwd: state.folder, env }),
      ) as Program,
    );
  }

  test("status and stop name it, where the other commands reach it", async () => {
    expect((await state.run(["start", "--port", "0"], { env: token })).code).toBe(0);
    const { port } = state.record()!;
    const what = `no server was started from the state folder ${home}, but one answers at ws://localhost:${port}`;
    expect(await runThere(["status"], port)).toEqual({
      code: 1,
      stdout: "",
      stderr: `error: ${what}: name it with --host or --port to see its state\n`,
    });
    const stop = {
      code: 1,
      stdout: "",
      stderr: `error: ${what}: set TINYMQ_HOME to the folder that it was started with\n`,
    };
    expect(await runThere(["stop"], port)).toEqual(stop);
    const env = { TINYMQ_HOME: home, TINYMQ_PORT: String(port) };
    expect(await state.run(["stop"], { env })).toEqual(stop);
    expect(await state.run(["topics"], { env: { ...env, ...token } })).toMatchObject({ code: 0 });
    expect(existsSync(home)).toBe(false);
    expect((await state.run(["stop"])).code).toBe(0);
    const nothing = { code: 1, stdout: "", stderr: "error: tinyMQ is not running\n" };
    for (const command of ["status", "stop"]) expect(await runThere([command], port)).toEqual(nothing);
  });

  test("another program on that port is none", async () => {
    const other = Bun.serve({ port: 0, hostname: "127.0.0.1", fetch: () => new Response("ok\n") });
    const nothing = { code: 1, stdout: "", stderr: "error: tinyMQ is not running\n" };
    expect(await runThere(["status"], other.port!)).toEqual(nothing);
    await other.stop(true);
  });
});
