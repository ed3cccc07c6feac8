/** Sealed records: their bytes, and what is noticed. */
import { expect, test } from "bun:test";
import { seal, unseal } from "../../src/journal/seal.ts";

const bytesOf = (text: string) => new TextEncoder().encode(text);

test("the bytes of a sealed record", () => {
  // CRC-32C of 01, 07 00 00 00 00 00 00 00 and "hi", computed with another program.
  const sealed = seal(bytesOf("hi"), 7);
  expect([...sealed.subarray(0, 9)]).toEqual([1, 7, 0, 0, 0, 0, 0, 0, 0]);
  expect(new TextDecoder().decode(sealed.subarray(13))).toBe("hi");
  expect(Buffer.from(sealed.subarray(9, 13)).toString("hex")).toBe("b0602742");
  expect(unseal(sealed, 7)).toEqual(bytesOf("hi"));
});

test("every bit that changes is noticed, and every byte that is missing", () => {
  const sealed = seal(bytesOf("a record of some length"), 2 ** 40);
  for (let bit = 0; bit < 8 * sealed.length; bit++) {
    const changed = sealed.slice();
    changed[bit >> 3]! ^= 1 << (bit & 7);
    expect(() => unseal(changed, 2 ** 40)).toThrow(/record 1099511627776 of the journal/);
  }
  for (let length = 0; length < sealed.length; length++) {
    expect(() => unseal(sealed.subarray(0, length), 2 ** 40)).toThrow(/cut off|checksum/);
  }
  expect(() => unseal(sealed, 5)).toThrow("is another one, with the number 1099511627776");
});
