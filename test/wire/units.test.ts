import { expect, test } from "bun:test";
import fc from "fast-check";
import { TinyMQError } from "../../src/errors.ts";
import { formatDuration, formatSize, parseDuration, parseSize } from "../../src/wire/units.ts";

test("sizes", () => {
  const sizes: [string | number, number][] = [
    [0, 0],
    [4096, 4096],
    ["512", 512],
    ["1b", 1],
    ["64KiB", 65_536],
    ["64 kib", 65_536],
    ["1.5MB", 1_500_000],
    [" 2GiB ", 2 ** 31],
    ["1TiB", 2 ** 40],
    ["0.5MiB", 524_288],
    ["1TB", 1e12],
  ];
  for (const [text, bytes] of sizes) expect([text, parseSize(text, "it")]).toEqual([text, bytes]);
});

test("durations", () => {
  const durations: [string | number, number][] = [
    [250, 250],
    ["250", 250],
    ["250ms", 250],
    ["1.5s", 1_500],
    ["10m", 600_000],
    ["2H", 7_200_000],
    ["1 d", 86_400_000],
    ["0s", 0],
  ];
  for (const [text, ms] of durations) expect([text, parseDuration(text, "it")]).toEqual([text, ms]);
});

test("what is no size or duration is INVALID_ARGUMENT, and names the option", () => {
  const wrong = [
    "",
    "KiB",
    "-1",
    "1e3",
    "1.",
    ".5",
    "1 2",
    "1XB",
    "64k",
    "0.5M",
    "2g",
    "1t",
    "constructor",
    "1__proto__",
    "0x10",
    "９",
    "1e400b",
  ];
  for (const text of [...wrong, Number.NaN, Infinity, -5, 2 ** 60]) {
    expect(() => parseSize(text, "max-memory")).toThrow(TinyMQError);
    expect(() => parseSize(text, "max-memory")).toThrow(/^max-memory: /);
  }
  expect(() => parseSize("64k", "it")).toThrow(
    'it: "64k" is not a size such as 4096, "64KiB" or "1.5GB" (units: B, KB, MB, GB, TB, KiB, MiB, GiB, TiB)',
  );
  expect(() => parseDuration("1KiB", "it")).toThrow(
    'it: "1KiB" is not a duration such as 250, "1.5s" or "10m" (units: ms, s, m, h, d)',
  );
  expect(() => parseSize("1ms", "it")).toThrow(TinyMQError);
  expect(() => parseSize("99999999TiB", "it")).toThrow(TinyMQError);
});

test("sizes and durations for people", () => {
  const sizes: [number, string][] = [
    [0, "0 B"],
    [1_023, "1023 B"],
    [1_024, "1 KiB"],
    [1_536, "1.5 KiB"],
    [64 * 2 ** 20, "64 MiB"],
    [2 ** 40, "1 TiB"],
    [2 ** 50, "1024 TiB"],
  ];
  for (const [bytes, text] of sizes) expect(formatSize(bytes)).toBe(text);
  const durations: [number, string][] = [
    [0, "0 ms"],
    [250, "250 ms"],
    [1_500, "1.5 s"],
    [60_000, "1 m"],
    [200_000, "3 m 20 s"],
    [3_600_000, "1 h"],
    [187_200_000, "2 d 4 h"],
  ];
  for (const [ms, text] of durations) expect(formatDuration(ms)).toBe(text);
});

test("whatever is written for people in whole units is read again", () => {
  fc.assert(
    fc.property(fc.nat(1_000), fc.constantFrom("B", "KiB", "MiB", "GiB"), (count, unit) => {
      const bytes = parseSize(`${count}${unit}`, "it");
      const text = formatSize(bytes);
      const again = parseSize(text, "it");
      // People are told two digits at least.
      expect(Math.abs(again - bytes)).toBeLessThanOrEqual(bytes / 10);
    }),
  );
});
