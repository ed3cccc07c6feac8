/** The options of the command line, checked. */
import { resolve } from "node:path";
import type { Subject } from "./harness/subject.ts";
import { RATES, SIZES, SUBSCRIBERS } from "./plan.ts";
import { SUBJECTS } from "./subjects.ts";
import { otherBuild, tinymq } from "./tinymq/tinymq.ts";

export type Mode = "full" | "quick" | "smoke";

export interface Settings {
  mode: Mode;
  runs: number;
  /** How long the measured part of a run is. */
  seconds: number;
  /** Parts to run, by key; undefined: all. */
  only: ReadonlySet<string> | undefined;
  /** Another build of tinyMQ: nothing but it and this one is measured. */
  against: Subject | undefined;
  /** Peers to run, by key; undefined: all that are installed. */
  peers: ReadonlySet<string> | undefined;
  /** Parts that are run from Node too, by key; undefined: all. */
  nodeParts: ReadonlySet<string> | undefined;
  sizes: readonly number[];
  subscribers: readonly number[];
  rates: readonly number[];
  mostMessages: number;
  /** Bytes of bodies in one run, at most. */
  mostBytes: number;
  /** Where the results go; "" for nowhere. */
  out: string;
  /** Whether docs/benchmarks.md is written. */
  docs: boolean;
}

export interface RawSettings {
  quick?: boolean;
  smoke?: boolean;
  runs?: string;
  seconds?: string;
  only?: string;
  peers?: string;
  against?: string;
  out?: string;
}

const results = (mode: Mode): string => resolve(import.meta.dir, "results", `${mode}.json`);

/** Throws an error whose message says which option is wrong. */
export function parseSettings(raw: RawSettings): Settings {
  const mode: Mode = raw.smoke ? "smoke" : raw.quick ? "quick" : "full";
  const base = DEFAULTS[mode];
  const against = raw.against === undefined ? undefined : otherBuild(raw.against);
  const isRecord = mode !== "smoke" && against === undefined;
  return {
    ...base,
    mode,
    runs: number(raw.runs, "runs", against === undefined ? base.runs : PAIRS),
    seconds: number(raw.seconds, "seconds", base.seconds),
    only: list(raw.only),
    against,
    peers: list(raw.peers) ?? base.peers,
    out: raw.out === undefined ? (isRecord ? results(mode) : "") : resolve(raw.out),
    docs: mode === "full" && isRecord && raw.only === undefined && raw.peers === undefined,
  };
}

/** Runs of each build, where two are compared. */
const PAIRS = 7;
const MIB = 1_024 ** 2;
const NONE: ReadonlySet<string> = new Set();

type Base = Omit<Settings, "mode" | "only" | "against" | "out" | "docs">;

const DEFAULTS: Record<Mode, Base> = {
  full: {
    runs: 5,
    seconds: 0.4,
    peers: undefined,
    nodeParts: undefined,
    sizes: SIZES,
    subscribers: SUBSCRIBERS,
    rates: RATES,
    mostMessages: 2_000_000,
    mostBytes: 1_536 * MIB,
  },
  quick: {
    runs: 5,
    seconds: 0.25,
    peers: NONE,
    nodeParts: new Set(["awaited", "backlog", "both"]),
    sizes: [128, 16 * 1_024],
    subscribers: [100],
    rates: [10_000, 100_000, 500_000],
    mostMessages: 1_000_000,
    mostBytes: 512 * MIB,
  },
  smoke: {
    runs: 1,
    seconds: 0.02,
    peers: NONE,
    nodeParts: undefined,
    sizes: SIZES,
    subscribers: [1, 10],
    rates: [1_000],
    mostMessages: 5_000,
    mostBytes: 8 * MIB,
  },
};

/** What is to be measured, the control and tinyMQ first; or two builds of tinyMQ. Throws for an unknown peer. */
export function chosenSubjects({ peers, against }: Settings): Subject[] {
  if (against !== undefined) return [against, tinymq];
  const known = new Set(SUBJECTS.map(({ key }) => key));
  for (const key of peers ?? []) {
    if (key !== "none" && !known.has(key))
      throw new Error(`--peers: there is no "${key}": ${[...known].join(", ")}`);
  }
  return SUBJECTS.filter(({ key, role }) => role !== "peer" || peers === undefined || peers.has(key));
}

function list(text: string | undefined): ReadonlySet<string> | undefined {
  if (text === undefined || text === "") return undefined;
  return new Set(text.split(",").map((item) => item.trim()));
}

function number(text: string | undefined, name: string, fallback: number): number {
  if (text === undefined) return fallback;
  const value = Number(text);
  if (!(value > 0)) throw new Error(`--${name}: "${text}" is not a number above 0`);
  return value;
}
