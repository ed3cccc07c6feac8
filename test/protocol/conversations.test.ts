/** The conversations and the refusals of docs/protocol-vectors.json, played against a real server. */
import { describe, expect, test } from "bun:test";
import { isDeepStrictEqual } from "node:util";
import type { JsonValue } from "@protobuf-ts/runtime";
import { startServer, type TestServer, toHex, until, Wire } from "./support.ts";
import { conversations, refused, type Step, typeNamed } from "./vectors.ts";

describe("conversations", () => {
  for (const { name, options, steps } of conversations) {
    test(name, async () => {
      await using server = await startServer(options);
      const streams = new Map<string, Wire>();
      for (const step of steps) await play(server, streams, step);
      for (const wire of streams.values()) expect(wire.frames).toEqual([]);
    });
  }
});

async function play(server: TestServer, streams: Map<string, Wire>, step: Step): Promise<void> {
  if (step.connect !== undefined) {
    streams.set(step.stream, await Wire.open(server.port, step.connect, { protocol: step.protocol }));
    return;
  }
  const wire = streams.get(step.stream)!;
  if (step.send !== undefined) wire.send(step.send);
  else if (step.receive !== undefined) expect(await wire.nextHex()).toBe(step.receive);
  else if (step.receiveLike !== undefined) expectLike(step.receiveLike, await wire.next(), step.json!);
  else if (step.closed !== undefined) expect((await wire.end()).code).toBe(step.closed);
  else {
    if (step.close === undefined) wire.terminate();
    else expect((await wire.close(step.close)).code).toBe(step.close);
    await until(() => wire.closed !== null, "the stream has ended");
    const open = [...streams.values()].filter(({ closed }) => closed === null).length;
    await server.connections(open);
  }
}

function expectLike(type: string, frame: Uint8Array, wanted: JsonValue): void {
  const message = typeNamed(type);
  const got = message.toJson(message.fromBinary(frame));
  if (!isLike(got, wanted)) expect(got).toEqual(wanted);
}

/** Whether they are equal, "*" standing for anything that is there. */
function isLike(got: JsonValue | undefined, wanted: JsonValue): boolean {
  if (wanted === "*") return got !== undefined;
  if (!isObject(got) || !isObject(wanted)) return isDeepStrictEqual(got, wanted);
  const keys = new Set([...Object.keys(got), ...Object.keys(wanted)]);
  return [...keys].every((key) => Object.hasOwn(wanted, key) && isLike(got[key], wanted[key]!));
}

function isObject(value: JsonValue | undefined): value is Record<string, JsonValue> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

describe("what ends a stream", () => {
  for (const { name, path, wire: version, before, hex, close, options } of refused) {
    test(name, async () => {
      await using server = await startServer(options);
      const wire = await Wire.open(server.port, path, {
        protocol: version === "v1" ? "tinymq.v1" : undefined,
      });
      for (const [index, frame] of before.entries()) {
        wire.send(frame);
        if (index === 0) await wire.next();
      }
      wire.send(hex);
      const end = await wire.end();
      expect(end.code, end.reason).toBe(close);
      expect(end.reason).not.toBe("");
      expect(wire.frames.map(toHex)).toEqual([]);
      expect(server.log.filter((line) => line.startsWith("error"))).toEqual([]);
      await server.connections(0);
    });
  }
});
