/** What every journal must do, whatever it is made of. */
import { expect, test } from "bun:test";
import type { Journal } from "../../src/journal/journal.ts";
import { Random } from "../support/random.ts";

/** A place that outlives the journals that are opened on it. */
export interface Place {
  open(): Promise<Journal>;
}

export interface Kept {
  readonly number: number;
  readonly bytes: string;
}

/** All that a journal hands out when it is replayed, as hexadecimal text. */
export async function replayed(journal: Journal): Promise<Kept[]> {
  const kept: Kept[] = [];
  await journal.replay((record, number) => {
    kept.push({ number, bytes: Buffer.from(record).toString("hex") });
  });
  return kept;
}

/** What a promise rejects with; null where it does not. Bun's `rejects` would keep the threads' answers waiting. */
export async function failure(promise: Promise<unknown>): Promise<unknown> {
  return await promise.then(
    () => null,
    (thrown: unknown) => thrown,
  );
}

const bytesOf = (text: string) => new TextEncoder().encode(text);
const hexOf = (text: string) => Buffer.from(text).toString("hex");

async function writeAll(journal: Journal, texts: readonly string[], from = 1): Promise<void> {
  for (const [index, text] of texts.entries()) await journal.write(bytesOf(text), from + index);
}

export function contract(what: string, makePlace: () => Place): void {
  test(`${what}: what was written is there, in order, also for the next one that is opened`, async () => {
    const place = makePlace();
    const first = await place.open();
    expect(await replayed(first)).toEqual([]);
    expect(first.figures).toMatchObject({ first: 1, next: 1 });
    await writeAll(first, ["one", "", "three"]);
    expect(first.figures).toMatchObject({ first: 1, next: 4 });
    await first.close();
    const second = await place.open();
    const expected = ["one", "", "three"].map((text, index) => ({ number: index + 1, bytes: hexOf(text) }));
    expect(await replayed(second)).toEqual(expected);
    await writeAll(second, ["four"], 4);
    await second.close();
    const third = await place.open();
    expect(await replayed(third)).toEqual([...expected, { number: 4, bytes: hexOf("four") }]);
    await third.close();
  });

  test(`${what}: the newest record may be written again, and none in the place of another or after a gap`, async () => {
    const place = makePlace();
    let journal = await place.open();
    await writeAll(journal, ["one", "two"]);
    await journal.write(bytesOf("two"), 2);
    await journal.close();
    journal = await place.open();
    await replayed(journal);
    await journal.write(bytesOf("two"), 2);
    for (const [text, number] of [
      ["other", 2],
      ["one", 1],
      ["four", 4],
    ] as const) {
      expect(await failure(journal.write(bytesOf(text), number))).toMatchObject({ code: "INTERNAL" });
    }
    await journal.close();
    journal = await place.open();
    expect(await replayed(journal)).toEqual([
      { number: 1, bytes: hexOf("one") },
      { number: 2, bytes: hexOf("two") },
    ]);
    await journal.close();
  });

  test(`${what}: what is trimmed is gone, the newest record stays, and numbers go on`, async () => {
    const place = makePlace();
    let journal = await place.open();
    const many = Array.from({ length: 1_000 }, (_, index) => `${index + 1}`);
    await writeAll(journal, many);
    await journal.trim(700);
    expect(journal.figures).toMatchObject({ first: 700, next: 1_001 });
    await journal.trim(5);
    expect((await replayed(journal)).map(({ number }) => number)).toEqual(
      many.slice(699).map((text) => Number(text)),
    );
    await journal.trim(2_000);
    await journal.close();
    journal = await place.open();
    expect(await replayed(journal)).toEqual([{ number: 1_000, bytes: hexOf("1000") }]);
    await journal.write(bytesOf("next"), 1_001);
    expect(journal.figures).toMatchObject({ first: 1_000, next: 1_002 });
    await journal.close();
  });

  test(`${what}: writes go on while it is trimmed, and records may be large`, async () => {
    const journal = await makePlace().open();
    await writeAll(
      journal,
      Array.from({ length: 2_000 }, (_, index) => `${index}`),
    );
    const trimmed = journal.trim(1_900);
    const large = new Uint8Array(1_300_000).fill(7);
    await journal.write(large, 2_001);
    await trimmed;
    const kept = await replayed(journal);
    expect(kept.map(({ number }) => number)).toEqual(
      Array.from({ length: 102 }, (_, index) => 1_900 + index),
    );
    expect(kept.at(-1)?.bytes === Buffer.from(large).toString("hex")).toBe(true);
    await journal.close();
  });

  test(`${what}: whatever is written, trimmed and opened again, it holds what a list would`, async () => {
    const random = new Random(3);
    const place = makePlace();
    let journal = await place.open();
    let model: Kept[] = [];
    let next = 1;
    for (let step = 0; step < 600; step++) {
      if (random.chance(0.03)) {
        await journal.close();
        journal = await place.open();
        expect(await replayed(journal)).toEqual(model);
      } else if (random.chance(0.1)) {
        const below = Math.max(1, next - random.below(20));
        await journal.trim(below);
        model = model.filter(({ number }) => number >= Math.min(below, next - 1));
      } else {
        const record = Uint8Array.from({ length: random.below(300) }, () => random.below(256));
        await journal.write(record, next);
        model.push({ number: next++, bytes: Buffer.from(record).toString("hex") });
      }
    }
    expect(await replayed(journal)).toEqual(model);
    await journal.close();
  });
}
