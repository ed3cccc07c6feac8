/** Options: what their values may be, wherever they are set, and what is used where they end. */
import { afterAll, describe, expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import type { TinyMQError } from "../../src/index.ts";
import {
  environmentName,
  OPTIONS,
  type OptionSpec,
  resolveOptions,
  type ServerOptions,
  TinyMQServer,
} from "../../src/server/index.ts";
import { endServers, makeFolder, ServerProcess } from "../proof/server-process.ts";
import { Wire } from "../protocol/support.ts";

afterAll(endServers);

const OPEN = "0a030a0174";
const METHODS = ["Produce", "Consume", "Subscribe"];

function errorOf(make: () => unknown): TinyMQError | null {
  try {
    make();
    return null;
  } catch (error) {
    return error as TinyMQError;
  }
}

const NUMBERS = OPTIONS.filter(({ kind }) => ["count", "size", "duration"].includes(kind));

describe("numbers", () => {
  test("each has a largest value, and durations and sizes say it in their units", () => {
    for (const { name, most } of NUMBERS) expect({ name, most }).not.toEqual({ name, most: undefined });
    const heartbeat = (value: string) => errorOf(() => resolveOptions({ heartbeat: value }))?.message;
    expect(heartbeat("20d")).toBe('heartbeat: "20d" is not at most 1 d (and at least 100 ms)');
    expect(heartbeat("99ms")).toBe('heartbeat: "99ms" is not at least 100 ms (and at most 1 d)');
    expect(errorOf(() => resolveOptions({ maxMessageSize: "1TB" }))?.message).toBe(
      'maxMessageSize: "1TB" is not at most 512 MiB (and at least 1 B)',
    );
    expect(errorOf(() => resolveOptions({}, { TINYMQ_MAX_MESSAGE_SIZE: "1TB" }))?.message).toBe(
      'TINYMQ_MAX_MESSAGE_SIZE: "1TB" is not at most 512 MiB (and at least 1 B)',
    );
  });

  test("an option that is none is refused, and the one that may have been meant is named", () => {
    const refusal = (options: object) => {
      const error = errorOf(() => new TinyMQServer(options as ServerOptions));
      expect(error?.code).toBe("INVALID_ARGUMENT");
      return error?.message;
    };
    expect(refusal({ maxMemry: 1 })).toBe('a server has no option "maxMemry"; did you mean maxMemory?');
    expect(refusal({ nonsense: 1 })).toBe('a server has no option "nonsense"');
    expect(refusal({ maxMemory: "lots" })).toStartWith('maxMemory: "lots" is not a size');
  });

  test("what is no object, and text for a number or a flag, is refused", () => {
    for (const options of [5, null, "port", [], () => ({})]) {
      const error = errorOf(() => new TinyMQServer(options as never));
      expect(error?.message).toBe("a server's options must be an object such as { port: 0 }");
      expect(error?.code).toBe("INVALID_ARGUMENT");
    }
    const messageOf = (options: object) => errorOf(() => new TinyMQServer(options))?.message;
    expect(messageOf({ port: "9" })).toBe('port: "9" is not a number');
    expect(messageOf({ maxTopics: "" })).toBe('maxTopics: "" is not a number');
    expect(messageOf({ noAuth: "false" })).toBe('noAuth: "false" is not true or false');
    expect(messageOf({ heartbeat: "1500", maxMemory: "2097152" })).toBeUndefined();
  });

  test("the least and the most are taken, one beyond either is not: embedded and in the environment", () => {
    for (const spec of NUMBERS) {
      const ways = [
        (value: number) => resolveOptions({ [spec.key]: value } as ServerOptions),
        (value: number) => resolveOptions({}, { [environmentName(spec)]: String(value) }),
      ];
      if (spec.kind !== "count")
        ways.push((value: number) =>
          resolveOptions({ [spec.key]: String(value) } as unknown as ServerOptions),
        );
      for (const resolve of ways) {
        for (const { value, good } of bounds(spec)) {
          const error = errorOf(() => resolve(value));
          expect({ name: spec.name, value, error: error?.code ?? null }).toEqual({
            name: spec.name,
            value,
            error: good ? null : "INVALID_ARGUMENT",
          });
          if (error !== null)
            expect(error.message).toMatch(/at least .*at most|at most .*at least|is not a /);
        }
      }
    }
  });

  test.each([
    ["the least of each", "least"],
    ["the most of each", "most"],
  ] as const)("a server with %s opens every kind of stream", async (_what, end) => {
    const options: Record<string, number> = {};
    for (const { key, least, most } of NUMBERS) options[key] = end === "least" ? (least ?? 0) : most!;
    if (end === "least") Object.assign(options, { maxTopics: 2, maxConnections: 10 });
    const errors: string[] = [];
    const quiet = () => {};
    const logger = {
      debug: quiet,
      info: quiet,
      warn: quiet,
      error: (line: string) => void errors.push(line),
    };
    await using server = new TinyMQServer({ ...options, logger });
    await server.start("127.0.0.1", 0);
    for (const method of METHODS) {
      const wire = await Wire.open(server.port, `/tinymq.v1.TinyMQ/${method}`, { protocol: "tinymq.v1" });
      expect((await wire.send(OPEN).nextHex()).slice(0, 2)).toBe("0a");
      // A time that no timer can hold would be over at once.
      await Bun.sleep(2);
      if (end === "most") expect(wire.frames).toEqual([]);
      await wire.close();
    }
    expect(errors).toEqual([]);
  });

  function bounds({ least = 0, most = 0 }: OptionSpec): { value: number; good: boolean }[] {
    return [
      { value: least - 1, good: false },
      { value: least, good: true },
      { value: most, good: true },
      { value: most + 1, good: false },
      { value: Number.MAX_SAFE_INTEGER, good: false },
      { value: Number.MAX_VALUE, good: false },
    ];
  }
});

describe("a token", () => {
  const blanks = [" ", "   ", "\t", "\n", " \r\n", "\u00a0", "\u2003"];
  const wrong = [" secret", "secret ", "secret\n", "one\ntwo", "a\u0000b", "x".repeat(2_049)];

  test("of blanks alone counts as none: it is refused, as the option and from the environment", () => {
    for (const token of [...blanks, ...wrong]) {
      for (const error of [
        errorOf(() => new TinyMQServer({ token })),
        errorOf(() => resolveOptions({}, { TINYMQ_TOKEN: token })),
      ]) {
        expect({ token, code: error?.code }).toEqual({ token, code: "INVALID_ARGUMENT" });
        expect(error?.message).not.toContain("secret");
      }
    }
    expect(errorOf(() => resolveOptions({}, { TINYMQ_TOKEN: " " }))?.message).toStartWith("TINYMQ_TOKEN: ");
    expect(errorOf(() => new TinyMQServer({ token: 5 as never }))?.code).toBe("INVALID_ARGUMENT");
  });

  test("that is empty is none, and opens nothing beyond this machine", async () => {
    expect(resolveOptions({ token: "" }, {}).token).toBe("");
    expect(resolveOptions({}, { TINYMQ_TOKEN: "" }).token).toBe("");
    const server = new TinyMQServer({ token: "" });
    expect(await server.start("0.0.0.0", 0).catch((error) => error.code)).toBe("FAILED_PRECONDITION");
    expect(server.addresses).toEqual([]);
  });

  test("in a file: one line, blanks around it left out; anything else is refused, by the file's name", async () => {
    const file = join(makeFolder(), "token");
    for (const text of ["secret", "secret\n", "  secret \r\n\n", "with blanks inside\n"]) {
      writeFileSync(file, text);
      await using server = new TinyMQServer({ tokenFile: file });
      await server.start("127.0.0.1", 0);
      expect(await statusOf(server.port, text.trim())).toBe(200);
      expect(await statusOf(server.port, "")).toBe(401);
    }
    for (const text of ["", ...blanks, "one\ntwo\n", "one\r\ntwo", "one\rtwo", "secret\n# the new one\n"]) {
      writeFileSync(file, text);
      for (const host of ["127.0.0.1", "0.0.0.0"]) {
        const server = new TinyMQServer({ tokenFile: file });
        const error = await server.start(host, 0).catch((thrown) => thrown);
        await server.stop();
        expect({ text, host, code: error?.code }).toEqual({ text, host, code: "INVALID_ARGUMENT" });
        expect(error.message).toContain(file);
        expect(error.message).not.toContain("secret");
      }
    }
  });

  test("of a process: blanks open no bind beyond this machine", async () => {
    const { code, log } = await new ServerProcess({ host: "0.0.0.0", token: " " }, makeFolder()).ended();
    expect(code).toBe(1);
    expect(log).toContain("blank");
  }, 30_000);
});

async function statusOf(port: number, token: string): Promise<number> {
  const response = await fetch(`http://127.0.0.1:${port}/twirp/tinymq.v1.Admin/GetStatus`, {
    method: "POST",
    headers: { "Content-Type": "application/json", Authorization: `Bearer ${token}` },
    body: "{}",
  });
  return response.status;
}
