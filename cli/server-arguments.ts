/** The options of a server on the command line, made from the one list of them. */
import { resolve } from "node:path";
import type { ArgDef } from "citty";
import { TinyMQError } from "../src/errors.ts";
import { environmentName, OPTIONS, type OptionSpec } from "../src/server/option-table.ts";
import { parseOption, type ServerOptions } from "../src/server/server-options.ts";
import { parseValue, UsageError } from "./command.ts";
import { formatDuration, formatSize } from "./format.ts";

const VALUE_HINTS: Record<OptionSpec["kind"], string> = {
  text: "TEXT",
  count: "NUMBER",
  size: "SIZE",
  duration: "TIME",
  flag: "",
  list: "LIST",
  choice: "CHOICE",
};
/** Their values are paths, and the server's process has another working folder. */
const PATHS: ReadonlySet<string> = new Set(["snapshot", "token-file", "tls-cert", "tls-key"]);
const NEGATION = "no-";

/** citty's definitions of all server options. */
export function serverArguments(): Record<string, ArgDef> {
  return Object.fromEntries(OPTIONS.map((spec) => [cittyKey(spec), definition(spec)]));
}

/**
 * The options that are given: on the command line, or else in the environment. Checked; paths absolute.
 * Throws a UsageError naming the option or the variable.
 */
export function readServerOptions(
  args: Readonly<Record<string, unknown>>,
  environment: Readonly<Record<string, string | undefined>>,
): ServerOptions {
  const options: Record<string, unknown> = {};
  for (const spec of OPTIONS) {
    const value = givenValue(spec, args) ?? environmentValue(spec, environment);
    if (value === undefined) continue;
    options[spec.key] = PATHS.has(spec.name) && value !== "" ? resolve(String(value)) : value;
  }
  if (environment.TINYMQ_TOKEN) options.token = environment.TINYMQ_TOKEN;
  return options as ServerOptions;
}

function givenValue(spec: OptionSpec, args: Readonly<Record<string, unknown>>): unknown {
  const value = args[cittyKey(spec)];
  // citty turns "--no-auth" into auth: false.
  if (spec.kind === "flag") return value === isNegated(spec) ? undefined : true;
  return value === undefined ? undefined : parseValue(spec, String(value));
}

function environmentValue(
  spec: OptionSpec,
  environment: Readonly<Record<string, string | undefined>>,
): unknown {
  const name = environmentName(spec);
  const value = environment[name];
  if (value === undefined || value === "") return undefined;
  try {
    return parseOption(spec, value);
  } catch (error) {
    if (!(error instanceof TinyMQError)) throw error;
    throw new UsageError(`environment variable ${name}: ${error.message}`, { cause: error });
  }
}

function isNegated(spec: OptionSpec): boolean {
  return spec.kind === "flag" && spec.name.startsWith(NEGATION);
}

function cittyKey(spec: OptionSpec): string {
  return isNegated(spec) ? spec.name.slice(NEGATION.length) : spec.name;
}

function definition(spec: OptionSpec): ArgDef {
  const description = `${spec.help}${defaultText(spec)}`;
  if (spec.kind === "flag") return { type: "boolean", default: isNegated(spec), description };
  return { type: "string", valueHint: valueHint(spec), description };
}

function valueHint(spec: OptionSpec): string {
  if (spec.choices) return spec.choices.join("|");
  return PATHS.has(spec.name) ? "FILE" : VALUE_HINTS[spec.kind];
}

function defaultText(spec: OptionSpec): string {
  const { kind, fallback } = spec;
  // Where 0 means that there is none, the help says so itself.
  if (fallback === "" || fallback === 0 || typeof fallback === "boolean") return "";
  if (kind === "size") return ` (${formatSize(Number(fallback))})`;
  if (kind === "duration") return ` (${formatDuration(Number(fallback))})`;
  return ` (${fallback})`;
}
