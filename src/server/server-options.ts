/** The options of a server as they are given, and as they are once they are checked. */
import { didYouMean } from "../did-you-mean.ts";
import { TinyMQError } from "../errors.ts";
import {
  type Duration,
  formatDuration,
  formatSize,
  parseDuration,
  parseSize,
  type Size,
} from "../wire/units.ts";
import { requireToken } from "./auth/token.ts";
import { environmentName, OPTIONS, type ValueSpec } from "./option-table.ts";

export type Overflow = "reject" | "drop-oldest";

/** The options of a server as they are given. Sizes are bytes and durations ms, or text with a unit. */
export interface ServerOptions {
  /** Default "localhost": both loopback addresses. */
  host?: string;
  /** Default 9800; 0 takes a free one. */
  port?: number;
  /** For messages of all topics, 1 MiB to 16 TiB. Default 256 MiB. */
  maxMemory?: Size;
  /** For messages of one topic. Default 0: no limit of its own. */
  maxTopicMemory?: Size;
  /** When memory is full: refuse messages (default), or drop the oldest. */
  overflow?: Overflow;
  /** Body and headers as encoded, 1 byte to 512 MiB. Default 1 MiB. */
  maxMessageSize?: Size;
  /** Default 100,000. */
  maxTopics?: number;
  /** Default 10,000. */
  maxConnections?: number;
  /** Deliveries after which a message that is given back becomes a dead letter. Default 0: no limit. */
  maxDeliveries?: number;
  /** 100 ms to 1 day; three missed close a connection. Default 15 s. */
  heartbeat?: Duration;
  /** An empty topic that nobody uses is removed after this. Default 5 min. */
  idleTopicTtl?: Duration;
  /** Of messages whose producer sets none. Default 0: for ever. */
  defaultTtl?: Duration;
  /** Longest time to live. Default 0: no limit. */
  maxTtl?: Duration;
  /** File that keeps the messages over a stop and a start. Default "": none. */
  snapshot?: string;
  /** File that holds the token that clients must present. Default "": none. */
  tokenFile?: string;
  /** The token itself; not an option of the command line, where others could read it. */
  token?: string;
  /** Listen beyond loopback without a token. Default false. */
  noAuth?: boolean;
  /** Browser origins allowed beside the server's own; "*": any. */
  allowOrigin?: string | readonly string[];
  /** PEM file of the certificate. Given with `tlsKey`, or not at all. */
  tlsCert?: string;
  /** PEM file of its key. */
  tlsKey?: string;
}

/** `ServerOptions`, checked: bytes and ms as numbers, nothing left out. */
export interface ResolvedOptions {
  host: string;
  port: number;
  maxMemory: number;
  /** 0: no cap beside `maxMemory`. */
  maxTopicMemory: number;
  overflow: Overflow;
  maxMessageSize: number;
  maxTopics: number;
  maxConnections: number;
  /** 0: no limit. */
  maxDeliveries: number;
  heartbeat: number;
  idleTopicTtl: number;
  /** 0: messages do not expire unless their producer says so. */
  defaultTtl: number;
  /** 0: no limit. */
  maxTtl: number;
  /** "": no snapshot. */
  snapshot: string;
  /** "": none. */
  tokenFile: string;
  /** "": nobody is asked for a token. */
  token: string;
  noAuth: boolean;
  allowOrigin: readonly string[];
  tlsCert: string;
  tlsKey: string;
}

/**
 * Checks options and fills in the environment's and the defaults: what is given wins over the
 * environment, the environment over the default. Reads no file. Throws INVALID_ARGUMENT naming the option as it
 * was given: the key, or the variable.
 */
export function resolveOptions(
  given: ServerOptions = {},
  environment: Record<string, string | undefined> = {},
): ResolvedOptions {
  const keys = [...OPTIONS.map((spec) => spec.key), "token"];
  const unknown = Object.keys(given).find((key) => !keys.includes(key));
  if (unknown !== undefined) {
    const message = `a server has no option ${JSON.stringify(unknown)}${didYouMean(unknown, keys)}`;
    throw new TinyMQError("INVALID_ARGUMENT", message);
  }
  const resolved: Record<string, unknown> = {
    token:
      given.token === undefined
        ? requireToken(environment.TINYMQ_TOKEN ?? "", "TINYMQ_TOKEN")
        : requireToken(given.token, "token (or TINYMQ_TOKEN)"),
  };
  for (const spec of OPTIONS) {
    const variable = environmentName(spec);
    const own = (given as Record<string, unknown>)[spec.key] ?? undefined;
    const name = own === undefined && environment[variable] !== undefined ? variable : spec.key;
    const named = { ...spec, name };
    // Text is the environment's way; of sizes, durations and lists it is everybody's.
    if (typeof own === "string" && spec.kind === "count") throw invalid(named, own, "a number");
    if (typeof own === "string" && spec.kind === "flag") throw invalid(named, own, "true or false");
    resolved[spec.key] = parseOption(named, own ?? environment[variable] ?? spec.fallback);
  }
  return resolved as unknown as ResolvedOptions;
}

/** One option's value, checked. Throws INVALID_ARGUMENT that calls it `spec.name`. */
export function parseOption(spec: ValueSpec, value: unknown): unknown {
  switch (spec.kind) {
    case "text":
      return requireText(spec, value);
    case "choice":
      if (!spec.choices?.includes(String(value))) {
        throw invalid(spec, value, `one of ${spec.choices?.join(", ")}`);
      }
      return value;
    case "flag":
      return parseFlag(spec, value);
    case "list":
      return Array.isArray(value)
        ? value.map((item) => requireText(spec, item))
        : requireText(spec, value)
            .split(",")
            .map((item) => item.trim())
            .filter((item) => item !== "");
    case "count":
      return requireRange(spec, value, parseCount(spec, value));
    case "size":
      return requireRange(spec, value, parseSize(value as Size, spec.name));
    case "duration":
      return requireRange(spec, value, parseDuration(value as Duration, spec.name));
  }
}

function requireText(spec: ValueSpec, value: unknown): string {
  if (typeof value !== "string") throw invalid(spec, value, "text");
  return value;
}

function parseFlag(spec: ValueSpec, value: unknown): boolean {
  if (value === true || value === "1" || value === "true" || value === "yes") return true;
  if (value === false || value === "0" || value === "false" || value === "no" || value === "") return false;
  throw invalid(spec, value, "true or false");
}

function parseCount(spec: ValueSpec, value: unknown): number {
  if (Number.isSafeInteger(value) && (value as number) >= 0) return value as number;
  const text = String(value).trim();
  if (!/^\d{1,15}$/.test(text)) throw invalid(spec, value, "a whole number");
  return Number(text);
}

function requireRange(spec: ValueSpec, value: unknown, parsed: number): number {
  const least = spec.least ?? 0;
  const most = spec.most ?? Number.MAX_SAFE_INTEGER;
  if (parsed >= least && parsed <= most) return parsed;
  const [bound, other] =
    parsed < least
      ? [`at least ${shown(spec, least)}`, `at most ${shown(spec, most)}`]
      : [`at most ${shown(spec, most)}`, `at least ${shown(spec, least)}`];
  throw invalid(spec, value, `${bound} (and ${other})`);
}

/** A bound as people write it. */
function shown(spec: ValueSpec, bound: number): string {
  if (spec.kind === "size") return formatSize(bound);
  return spec.kind === "duration" ? formatDuration(bound) : String(bound);
}

function invalid(spec: ValueSpec, value: unknown, wanted: string): TinyMQError {
  return new TinyMQError("INVALID_ARGUMENT", `${spec.name}: ${JSON.stringify(value)} is not ${wanted}`);
}
