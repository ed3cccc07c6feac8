/** The conversations and the refusals of docs/protocol-vectors.json, played against a real server. */
import { describe, expect, test } from "bun:test";
import { Player } from "./player.ts";
import { fromHex, startServer, toHex, Wire } from "./support.ts";
import { conversations, refused, typeNamed } from "./vectors.ts";

describe("conversations", () => {
  for (const conversation of conversations) {
    test(conversation.name, () => Player.play(conversation));
  }

  test("their bytes are what their json says", () => {
    for (const { name, steps } of conversations) {
      const paths = new Map<string, string>();
      for (const { stream, connect, send, receive, settled, json } of steps) {
        if (stream !== undefined && connect !== undefined) paths.set(stream, connect);
        const hex = send ?? receive ?? settled;
        if (hex === undefined || json === undefined) continue;
        const method = paths.get(stream!)!.slice("/tinymq.v1.TinyMQ/".length);
        const type = typeNamed(`tinymq.v1.${method}${send === undefined ? "Response" : "Request"}`);
        expect(toHex(type.toBinary(type.fromJson(json))), name).toBe(hex);
        expect(type.toJson(type.fromBinary(fromHex(hex))), name).toEqual(json);
      }
    }
  });
});

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
