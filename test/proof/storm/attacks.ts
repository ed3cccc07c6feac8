/** All attacks by name, and what of each proves that it took place. */
import type { Attack } from "./arena.ts";
import { CONSUMING } from "./attacks-consuming.ts";
import { ON_SOCKETS } from "./attacks-on-sockets.ts";
import { PRODUCING } from "./attacks-producing.ts";

export const ATTACKS = { ...CONSUMING, ...PRODUCING, ...ON_SOCKETS } satisfies Record<string, Attack>;
export type AttackName = keyof typeof ATTACKS;
export const ATTACK_NAMES = Object.keys(ATTACKS) as AttackName[];

/** Without these an attack did not do what it is for. */
export const PROOFS: Readonly<Record<AttackName, readonly string[]>> = {
  rejectAll: ["rejected"],
  pullFragments: ["fragments"],
  rewindFragments: ["fragments"],
  expiring: ["ttl batches"],
  retryLater: ["retries"],
  packedSettles: ["settles"],
  rewindPulls: ["rewinds"],
  leaveTogether: ["disconnects"],
  uniqueIds: ["ids"],
  redrive: ["moved"],
  listTopics: ["lists"],
  purge: ["purged"],
  delayedToOneMoment: ["delayed"],
  emptyMessages: ["empty messages"],
  comeAndGo: ["producers", "topics"],
  deathChain: ["retries"],
  pings: ["pings"],
  heartbeats: ["heartbeats"],
  deafSubscribers: ["subscribers", "published"],
  beforeOpening: ["large first frames", "unfinished first frames", "silent WebSockets"],
  unfinishedBodies: ["unfinished bodies", "silent connections"],
  byteByByte: ["parts", "single bytes"],
  unfinishedFrames: ["unfinished frames"],
};
