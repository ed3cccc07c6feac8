/**
 * Every option of a server, once. The command line, the environment, `TinyMQServer`, the help and the
 * documentation are made from this table.
 */
import { DEFAULT_LIMITS } from "../broker/broker-limits.ts";
import { DEFAULT_PORT, HEARTBEAT_MS, MiB } from "../wire/limits.ts";

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
  readonly help: string;
  /** Of a choice. */
  readonly choices?: readonly string[];
  /** Of a count, size or duration. */
  readonly least?: number;
  readonly most?: number;
}

type More = Pick<OptionSpec, "choices" | "least" | "most">;

export const OPTIONS: readonly OptionSpec[] = [
  option("host", "text", "localhost", "address to listen on"),
  option("port", "count", DEFAULT_PORT, "port to listen on; 0: any free one", { most: 65_535 }),
  option("max-memory", "size", DEFAULT_LIMITS.maxMemory, "memory for messages, all topics", { least: MiB }),
  option(
    "max-topic-memory",
    "size",
    DEFAULT_LIMITS.maxTopicMemory,
    "memory for the messages of one topic; 0: no limit of its own",
  ),
  option("overflow", "choice", DEFAULT_LIMITS.overflow, "what happens to a message when memory is full", {
    choices: ["reject", "drop-oldest"],
  }),
  option("max-message-size", "size", DEFAULT_LIMITS.maxMessageBytes, "largest message, body and headers", {
    least: 1,
    most: 512 * MiB,
  }),
  option("max-topics", "count", DEFAULT_LIMITS.maxTopics, "maximum number of topics", { least: 1 }),
  option("max-connections", "count", 10_000, "maximum number of connections", { least: 1 }),
  option(
    "max-deliveries",
    "count",
    DEFAULT_LIMITS.maxDeliveries,
    "deliveries after which a message goes to the dead-letter topic; 0: no limit",
  ),
  option("heartbeat", "duration", HEARTBEAT_MS, "heartbeat interval; three missed close the connection", {
    least: 100,
  }),
  option(
    "idle-topic-ttl",
    "duration",
    DEFAULT_LIMITS.idleTopicTtlMs,
    "an empty topic that nobody uses is removed after this",
  ),
  option(
    "default-ttl",
    "duration",
    DEFAULT_LIMITS.defaultTtlMs,
    "time to live of messages whose producer sets none; 0: for ever",
  ),
  option("max-ttl", "duration", DEFAULT_LIMITS.maxTtlMs, "longest time to live; 0: no limit"),
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
export function environmentName(spec: OptionSpec): string {
  return `TINYMQ_${spec.name.toUpperCase().replaceAll("-", "_")}`;
}
