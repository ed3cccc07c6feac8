/** The pulls of one consume stream that have no answer yet. */

/** One of them: what it asked for, and who asked. */
export interface PullRecord {
  readonly maxMessages: number;
  /** `poll`: of a waiting poll. `refill`: answered at once, ahead of need. `standing`: waits for messages. */
  readonly kind: "poll" | "refill" | "standing";
}

/** Always holds: `asked` is the sum of `maxMessages` over all of them. */
export class Pulls {
  /** Messages that may still come for them. */
  asked = 0;
  /** How many are refills. */
  refills = 0;
  readonly #records = new Map<number, PullRecord>();
  #lastId = 0;

  get count(): number {
    return this.#records.size;
  }

  /** Notes a pull and returns its id. */
  add(record: PullRecord): number {
    this.#lastId += 1;
    this.#records.set(this.#lastId, record);
    this.asked += record.maxMessages;
    if (record.kind === "refill") this.refills += 1;
    return this.#lastId;
  }

  /** Takes out the pull that was answered; undefined if there is none of that id. */
  answer(id: number): PullRecord | undefined {
    const record = this.#records.get(id);
    if (record === undefined) return undefined;
    this.#records.delete(id);
    this.asked -= record.maxMessages;
    if (record.kind === "refill") this.refills -= 1;
    return record;
  }

  /** The stream is gone, and nothing will be answered. Ids are not used again. */
  clear(): void {
    this.#records.clear();
    this.asked = 0;
    this.refills = 0;
  }
}
