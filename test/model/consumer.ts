/** A consumer, said simply: its pulls, and what it holds by position. */
import type { ModelMessage } from "./message.ts";

/** What a consumer needs of its topic. */
interface ConsumedTopic {
  readonly model: { readonly now: number };
  readonly holder: ModelConsumer | null;
}

export interface ModelPull {
  readonly id: number;
  /** Its turn among the pulls of its topic. */
  turn: number;
  readonly max: number;
  readonly bytes: number;
  readonly wait: number;
  readonly deadline: number;
}

export class ModelConsumer {
  readonly topic: ConsumedTopic;
  readonly mode: "exclusive" | "standby" | "shared";
  /** "": none. */
  readonly id: string;
  readonly name: string;
  pulls: ModelPull[] = [];
  /** By position; null where it is settled. */
  lease: (ModelMessage | null)[] = [];
  /** Positions below were handed to its program. */
  handed = 0;
  /** Positions that it settled, and of which it was told; when the first was settled that it was not told of. */
  settled = 0;
  told = 0;
  untoldSince: number | null = null;
  /** Does not read: nothing may be delivered. */
  blocked = false;

  constructor(topic: ConsumedTopic, mode: ModelConsumer["mode"], id: string, name: string) {
    this.topic = topic;
    this.mode = mode;
    this.id = id;
    this.name = name;
  }

  get active(): boolean {
    return this.mode === "shared" || this.topic.holder === this;
  }

  /** Takes what is unsettled of [from, to) out of the lease, in order: a list for each run of consecutive ones. */
  take(from: number, to: number): ModelMessage[][] {
    const runs: ModelMessage[][] = [];
    const end = Math.min(to, this.lease.length);
    for (let position = from; position < end; position++) {
      const message = this.lease[position];
      if (message == null) continue;
      const last = this.#follows(position, from) ? runs.at(-1) : undefined;
      if (last !== undefined) last.push(message);
      else runs.push([message]);
    }
    for (let position = from; position < end; position++) this.lease[position] = null;
    return runs;
  }

  /** In how many runs of consecutive positions and offsets, delivered equally often, it holds messages. */
  get runs(): number {
    return this.lease.filter((message, position) => message != null && !this.#follows(position, 0)).length;
  }

  settle(messages: number): void {
    if (messages > 0) this.untoldSince ??= this.topic.model.now;
    this.settled += messages;
  }

  #follows(position: number, from: number): boolean {
    const [before, message] = [this.lease[position - 1], this.lease[position]];
    if (position <= from || before == null || message == null) return false;
    return before.number + 1 === message.number && before.deliveries === message.deliveries;
  }
}
