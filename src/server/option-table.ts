/**
 * Every option of a server, once. The command line, the environment, `TinyMQServer`, the help and the
 * documentation are made from this table.
 */
import { DEFAULT_LIMITS } from "../broker/broker-limits.ts";
import { DEFAULT_PORT, HEARTBEAT_MS, MiB } from "../wire/limits.ts";

/** What an option's value is. A size is bytes, a duration ms, or text with a unit; a list is comma-separated text. */
export type OptionKind = "text" | "count" | "size" | "duration" | "flag" | "list" | "choice";

/** How one option is written and what it means. */
export interface OptionSpec {
  /** On the command line, without its dashes. */
  readonly name: string;
  /** In `TinyMQServer`. */
  readonly key: string;
  readonly kind: OptionKind;
  /** Bytes of a size, ms of a duration. */
  readonly fallback: string | number | boolean;
  /** One line of the help. */
  readonly help: string;
  /** Of a choice. */
  readonly choices?: readonly string[];
  /** Of a count, size or duration: bytes or ms; 0 and 2^53-1 where they are left out. */
  readonly least?: number;
  readonly most?: number;
}

/** What an option's value must be. */
export type ValueSpec = Pick<OptionSpec, "name" | "kind" | "choices" | "least" | "most">;
type More = Pick<OptionSpec, "choices" | "least" | "most">;

const DAY_MS = 86_400_000;
/** Added to any time of a clock it is still exact. */
const LONGEST_TTL_MS = 3_650 * DAY_MS;
/** More than any machine has. */
const MOST_MEMORY = 16 * 2 ** 40;
/** A JavaScript Map holds some 16 million entries. */
const MOST_ENTRIES = 10_000_000;

/** In the order of the help. The token itself is no option of the command line, and not among them. */
export const OPTIONS: readonly OptionSpec[] = [
  option("host", "text", "localhost", "address to listen on"),
  option("port", "count", DEFAULT_PORT, "port to listen on; 0: any free one", { most: 65_535 }),
  option("max-memory", "size", DEFAULT_LIMITS.maxMemory, "memory for messages, all topics", {
    least: MiB,
    most: MOST_MEMORY,
  }),
  option(
    "max-topic-memory",
    "size",
    DEFAULT_LIMITS.maxTopicMemory,
    "memory for the messages of one topic; 0: no limit of its own",
    { most: MOST_MEMORY },
  ),
  option("overflow", "choice", DEFAULT_LIMITS.overflow, "what happens to a message when memory is full", {
    choices: ["reject", "drop-oldest"],
  }),
  option("max-message-size", "size", DEFAULT_LIMITS.maxMessageBytes, "largest message, as encoded", {
    least: 1,
    most: 512 * MiB,
  }),
  option("max-topics", "count", DEFAULT_LIMITS.maxTopics, "maximum number of topics", {
    least: 1,
    most: MOST_ENTRIES,
  }),
  option("max-connections", "count", 10_000, "maximum number of connections", {
    least: 1,
    most: MOST_ENTRIES,
  }),
  option(
    "max-deliveries",
    "count",
    DEFAULT_LIMITS.maxDeliveries,
    "deliveries after which a message goes to the dead-letter topic; 0: no limit",
    { most: 2 ** 32 - 1 },
  ),
  option("heartbeat", "duration", HEARTBEAT_MS, "heartbeat interval; three missed close the connection", {
    least: 100,
    // Three of them must fit into 32 bits on the wire, and into a timer.
    most: DAY_MS,
  }),
  option(
    "idle-topic-ttl",
    "duration",
    DEFAULT_LIMITS.idleTopicTtlMs,
    "an empty topic that nobody uses is removed after this",
    { most: LONGEST_TTL_MS },
  ),
  option(
    "default-ttl",
    "duration",
    DEFAULT_LIMITS.defaultTtlMs,
    "time to live of messages whose producer sets none; 0: for ever",
    { most: LONGEST_TTL_MS },
  ),
  option("max-ttl", "duration", DEFAULT_LIMITS.maxTtlMs, "longest time to live; 0: no limit", {
    most: LONGEST_TTL_MS,
  }),
  option("snapshot", "text", "", "file that keeps the queued messages over a stop and a start"),
  option("token-file", "text", "", "file with the token that clients must present (or TINYMQ_TOKEN)"),
  option("no-auth", "flag", false, "listen beyond this machine without a token"),
  option(
    "allow-origin",
    "list",
    "",
    "browser origins that may connect, beside the server's own; comma-separated, * for any",
  ),
  option("tls-cert", "text", "", "PEM file of the TLS certificate"),
  option("tls-key", "text", "", "PEM file of the TLS key"),
];

function option(
  name: string,
  kind: OptionKind,
  fallback: OptionSpec["fallback"],
  help: string,
  more: More = {},
): OptionSpec {
  const key = name.replace(/-(.)/g, (_, letter: string) => letter.toUpperCase());
  return { name, key, kind, fallback, help, ...more };
}

/** The environment variable of an option. */
export function environmentName({ name }: Pick<OptionSpec, "name">): string {
  return `TINYMQ_${name.toUpperCase().replaceAll("-", "_")}`;
}
