/** What an attack has: where the server is, how large it shall be, and where it tells what it did. */
import type { Random } from "../../support/random.ts";

export interface Arena {
  readonly port: number;
  readonly random: Random;
  /** Whether the server keeps what it acknowledged, for it was not told to drop the oldest. */
  readonly keeps: boolean;
  /** Whether the storm goes on. */
  readonly isOn: boolean;
  /** So many of something in a storm of full size, fewer in a small one. */
  size(full: number): number;
  /** The attack did this so many times: in the end somebody looks whether it took place. */
  count(what: string, times?: number): void;
}

/** Goes on until the storm is over. What the server refuses, or whom it closes, is counted and comes again. */
export type Attack = (arena: Arena) => Promise<void>;

/** Repeats one round of an attack until the storm is over. */
export function rounds(round: Attack): Attack {
  return async (arena) => {
    while (arena.isOn) {
      try {
        await round(arena);
        arena.count("rounds");
      } catch (error) {
        if (!(error instanceof StreamEnded)) throw error;
        arena.count(`ended: ${error.code}`);
        await Bun.sleep(50);
      }
    }
  };
}

/** The server ended a stream, or refused it: no fault of the attack. */
export class StreamEnded extends Error {
  readonly code: number;

  constructor(code: number, reason: string) {
    super(`the stream ended with ${code} ${reason}`);
    this.code = code;
  }
}

/** Runs an attack's round for so many clients at once. */
export async function together(many: number, client: (which: number) => Promise<void>): Promise<void> {
  const all = await Promise.allSettled(Array.from({ length: many }, (_, which) => client(which)));
  for (const each of all) if (each.status === "rejected") throw each.reason;
}

/** Resolves after `ms`, or soon after the storm is over. */
export async function pause(arena: Arena, ms: number): Promise<void> {
  const until = performance.now() + ms;
  while (arena.isOn && performance.now() < until) await Bun.sleep(Math.min(50, ms));
}
