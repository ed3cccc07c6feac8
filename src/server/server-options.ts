/**
 * Every option of a server, once: its name on the command line, in the environment (`TINYMQ_` and the
 * name in capitals) and in `TinyMQServer` (camelCase), its kind, its default, and what it does.
 */
import { DEFAULT_LIMITS } from "../broker/broker-limits.ts";
import { TinyMQError } from "../errors.ts";
import { DEFAULT_PORT, HEARTBEAT_MS, MiB } from "../wire/limits.ts";
import { type Duration, parseDuration, parseSize, type Size } from "../wire/units.ts";

export type Overflow = "reject" | "drop-oldest";

/** The options of a server as they are given. Whatever is left out has the default of `OPTIONS`. */
export interface ServerOptions {
  host?: string;
  port?: number;
  maxMemory?: Size;
  maxTopicMemory?: Size;
  overflow?: Overflow;
  maxMessageSize?: Size;
  maxTopics?: number;
  maxConnections?: number;
  maxDeliveries?: number;
  heartbeat?: Duration;
  idleTopicTtl?: Duration;
  defaultTtl?: Duration;
  maxTtl?: Duration;
  snapshot?: string;
  tokenFile?: string;
  /** The token itself; not an option of the command line, where others could read it. */
  token?: string;
  noAuth?: boolean;
  /** Browser origins allowed beside the server's own. */
  allowOrigin?: string | readonly string[];
  tlsCert?: string;
  tlsKey?: string;
}

/** The options of a server, checked: bytes and ms as numbers, nothing left out. */
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

export type OptionKind = "text" | "count" | "size" | "duration" | "flag" | "list" | "choice";

/** How one option is written and what it means; the CLI and the docs are made from these. */
export interface OptionSpec {
  /** On the command line, without its dashes. */
  readonly name: string;
  readonly key: keyof ResolvedOptions;
  readonly kind: OptionKind;
  readonly fallback: string | number | boolean;
  readonly help: string;
  /** Of a choice. */
  readonly choices?: readonly string[];
  /** Of a count, size or duration: the smallest that makes sense. */
  readonly least?: number;
  readonly most?: number;
}

export const OPTIONS: readonly OptionSpec[] = [
  { name: "host", key: "host", kind: "text", fallback: "localhost", help: "address to listen on" },
  {
    name: "port",
    key: "port",
    kind: "count",
    fallback: DEFAULT_PORT,
    least: 0,
    most: 65_535,
    help: "port to listen on; 0: any free one",
  },
  {
    name: "max-memory",
    key: "maxMemory",
    kind: "size",
    fallback: DEFAULT_LIMITS.maxMemory,
    least: MiB,
    help: "memory for messages, all topics",
  },
  {
    name: "max-topic-memory",
    key: "maxTopicMemory",
    kind: "size",
    fallback: DEFAULT_LIMITS.maxTopicMemory,
    least: 0,
    help: "memory for the messages of one topic; 0: no limit of its own",
  },
  {
    name: "overflow",
    key: "overflow",
    kind: "choice",
    fallback: DEFAULT_LIMITS.overflow,
    choices: ["reject", "drop-oldest"],
    help: "what happens to a message when memory is full",
  },
  {
    name: "max-message-size",
    key: "maxMessageSize",
    kind: "size",
    fallback: DEFAULT_LIMITS.maxMessageBytes,
    least: 1,
    most: 512 * MiB,
    help: "largest message, body and headers",
  },
  {
    name: "max-topics",
    key: "maxTopics",
    kind: "count",
    fallback: DEFAULT_LIMITS.maxTopics,
    least: 1,
    help: "most topics",
  },
  {
    name: "max-connections",
    key: "maxConnections",
    kind: "count",
    fallback: 10_000,
    least: 1,
    help: "most connections",
  },
  {
    name: "max-deliveries",
    key: "maxDeliveries",
    kind: "count",
    fallback: DEFAULT_LIMITS.maxDeliveries,
    least: 0,
    help: "deliveries after which a message goes to the dead-letter topic; 0: no limit",
  },
  {
    name: "heartbeat",
    key: "heartbeat",
    kind: "duration",
    fallback: HEARTBEAT_MS,
    least: 100,
    help: "a silent end sends a heartbeat after this; three times this without a sign ends a connection",
  },
  {
    name: "idle-topic-ttl",
    key: "idleTopicTtl",
    kind: "duration",
    fallback: DEFAULT_LIMITS.idleTopicTtlMs,
    least: 0,
    help: "an empty topic that nobody uses is gone after this",
  },
  {
    name: "default-ttl",
    key: "defaultTtl",
    kind: "duration",
    fallback: DEFAULT_LIMITS.defaultTtlMs,
    least: 0,
    help: "time to live of messages whose producer sets none; 0: for ever",
  },
  {
    name: "max-ttl",
    key: "maxTtl",
    kind: "duration",
    fallback: DEFAULT_LIMITS.maxTtlMs,
    least: 0,
    help: "longest time to live; 0: no limit",
  },
  {
    name: "snapshot",
    key: "snapshot",
    kind: "text",
    fallback: "",
    help: "file that keeps the queued messages over a stop and a start",
  },
  {
    name: "token-file",
    key: "tokenFile",
    kind: "text",
    fallback: "",
    help: "file with the token that clients must know (or TINYMQ_TOKEN)",
  },
  {
    name: "no-auth",
    key: "noAuth",
    kind: "flag",
    fallback: false,
    help: "listen beyond this machine without a token",
  },
  {
    name: "allow-origin",
    key: "allowOrigin",
    kind: "list",
    fallback: "",
    help: "browser origins that may connect, beside the server's own; comma-separated, * for any",
  },
  { name: "tls-cert", key: "tlsCert", kind: "text", fallback: "", help: "PEM file of the TLS certificate" },
  { name: "tls-key", key: "tlsKey", kind: "text", fallback: "", help: "PEM file of the TLS key" },
];

/** The environment variable of an option. */
export function environmentName(spec: OptionSpec): string {
  return `TINYMQ_${spec.name.toUpperCase().replaceAll("-", "_")}`;
}

/**
 * Checks options and fills in the environment's and the defaults: what is given wins over the
 * environment, the environment over the default. Reads no file. Throws INVALID_ARGUMENT naming the option.
 */
export function resolveOptions(
  given: ServerOptions = {},
  environment: Record<string, string | undefined> = {},
): ResolvedOptions {
  for (const key of Object.keys(given)) {
    if (key !== "token" && !OPTIONS.some((spec) => spec.key === key)) {
      throw new TinyMQError("INVALID_ARGUMENT", `there is no server option "${key}"`);
    }
  }
  const resolved: Record<string, unknown> = {
    token: given.token ?? environment.TINYMQ_TOKEN ?? "",
  };
  for (const spec of OPTIONS) {
    const fromEnvironment = environment[environmentName(spec)];
    const value = (given as Record<string, unknown>)[spec.key] ?? fromEnvironment ?? spec.fallback;
    resolved[spec.key] = parseOption(spec, value);
  }
  return resolved as unknown as ResolvedOptions;
}

/** One option's value, checked. Throws INVALID_ARGUMENT naming the option. */
export function parseOption(spec: OptionSpec, value: unknown): unknown {
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

function requireText(spec: OptionSpec, value: unknown): string {
  if (typeof value !== "string") throw invalid(spec, value, "text");
  return value;
}

function parseFlag(spec: OptionSpec, value: unknown): boolean {
  if (value === true || value === "1" || value === "true" || value === "yes") return true;
  if (value === false || value === "0" || value === "false" || value === "no" || value === "") return false;
  throw invalid(spec, value, "true or false");
}

function parseCount(spec: OptionSpec, value: unknown): number {
  if (Number.isSafeInteger(value) && (value as number) >= 0) return value as number;
  const text = String(value).trim();
  if (!/^\d{1,15}$/.test(text)) throw invalid(spec, value, "a whole number");
  return Number(text);
}

function requireRange(spec: OptionSpec, value: unknown, parsed: number): number {
  const least = spec.least ?? 0;
  const most = spec.most ?? Number.MAX_SAFE_INTEGER;
  if (parsed < least) throw invalid(spec, value, `at least ${least}`);
  if (parsed > most) throw invalid(spec, value, `at most ${most}`);
  return parsed;
}

function invalid(spec: OptionSpec, value: unknown, wanted: string): TinyMQError {
  return new TinyMQError("INVALID_ARGUMENT", `${spec.name}: ${JSON.stringify(value)} is not ${wanted}`);
}
