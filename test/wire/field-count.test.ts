/** Fields of a frame, counted before anything is made of them. */
import { expect, test } from "bun:test";
import { ConsumeRequest, Outcome } from "../../src/gen/tinymq/v1/queue.ts";
import { hasMoreFields } from "../../src/wire/field-count.ts";

const bytes = (...values: number[]) => Uint8Array.from(values);

test("the fields of a frame and of the message in it count; of those further down there may be eight times as many", () => {
  // pull { pull_id 9, settle { position 8, count 1 }, settle {} }
  const pull = bytes(0x12, 10, 0x08, 9, 0x32, 4, 0x08, 8, 0x10, 1, 0x32, 0);
  expect([3, 4].map((most) => hasMoreFields(pull, most))).toEqual([true, false]);
  expect(hasMoreFields(bytes(), 0)).toBe(false);
  expect(hasMoreFields(bytes(0x3a, 0), 0)).toBe(true);
});

test("fields of the innermost messages are bounded, too", () => {
  // pull { settle { reason, again and again } }
  const settle = (reasons: number) => [
    0x32,
    2 * reasons,
    ...Array.from({ length: reasons }, () => [0x22, 0]).flat(),
  ];
  const pull = (reasons: number) => bytes(0x12, 2 * reasons + 2, ...settle(reasons));
  expect([16, 17].map((reasons) => hasMoreFields(pull(reasons), 2))).toEqual([false, true]);
});

test("numbers of fixed length are passed over", () => {
  // Field 15, of 8 bytes; field 15, of 4.
  const frame = bytes(0x79, 0x32, 0, 0x32, 0, 0x32, 0, 0x32, 0, 0x7d, 0x32, 0, 0x32, 0, 0x08, 1);
  expect([2, 3].map((most) => hasMoreFields(frame, most))).toEqual([true, false]);
});

test("what is cut off counts as far as it goes; groups, which could hide fields, are too many", () => {
  expect([1, 2].map((most) => hasMoreFields(bytes(0x08, 1, 0x08, 0x80), most))).toEqual([true, false]);
  expect(hasMoreFields(bytes(0x12, 100, 0x32, 0), 2)).toBe(false);
  expect(hasMoreFields(bytes(0x0b, 0x32, 0, 0x0c), 1_000)).toBe(true);
});

test("it counts what the generated code writes", () => {
  const settle = { position: 300, count: 1, outcome: Outcome.RETRY, reason: "why", delayMs: 7 };
  const pull = { pullId: 1, maxMessages: 1, maxBytes: 1, waitMs: 1, settles: Array(1_000).fill(settle) };
  const frame = ConsumeRequest.toBinary({ kind: { oneofKind: "pull", pull } });
  expect([1_004, 1_005].map((most) => hasMoreFields(frame, most))).toEqual([true, false]);
});
