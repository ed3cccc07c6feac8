/**
 * A process of hostile clients: carries out the attacks that it is told of until it is told to stop, and then
 * tells what it did.
 */
import { setPriority } from "node:os";
import { Random } from "../../support/random.ts";
import type { Arena } from "./arena.ts";
import { ATTACKS, type AttackName, PROOFS } from "./attacks.ts";

export interface Orders {
  readonly port: number;
  readonly seed: number;
  /** 1: full size. */
  readonly scale: number;
  readonly keeps: boolean;
  readonly attacks: readonly AttackName[];
}

/** By attack: how often it did what. */
export type Deeds = Record<string, Record<string, number>>;

/** How long an attack that has not taken place yet may go on when it is told to stop, in ms. */
const OVERTIME_MS = 30_000;

let isOn = true;
let stoppedAt = 0;
const isInTime = () => performance.now() - stoppedAt < OVERTIME_MS;
const deeds: Deeds = {};

process.on("message", (message: Orders | "stop") => {
  if (message === "stop") {
    isOn = false;
    stoppedAt = performance.now();
  } else void storm(message);
});
process.on("disconnect", () => process.exit(1));

async function storm(orders: Orders): Promise<void> {
  // Strangers have machines of their own: here they must not take the pair's turn at the processor.
  setPriority(10);
  await Promise.all(orders.attacks.map((name, at) => carryOut(name, orders, orders.seed + at)));
  process.send!(deeds);
}

async function carryOut(name: AttackName, orders: Orders, seed: number): Promise<void> {
  const { port, keeps, scale } = orders;
  deeds[name] = {};
  const done = deeds[name];
  const arena: Arena = {
    port,
    keeps,
    random: new Random(seed),
    get isOn() {
      return isOn || (isInTime() && PROOFS[name].some((what) => !done[what]));
    },
    size: (full) => Math.max(20, Math.round(full * scale)),
    count: (what, times = 1) => {
      done[what] = (done[what] ?? 0) + times;
    },
  };
  try {
    await ATTACKS[name](arena);
  } catch (error) {
    arena.count(`error: ${error instanceof Error ? error.message : error}`);
    console.error(name, error);
  }
}
