/** The options of a server and of its log, from the command line or the environment. */
import { resolve } from "node:path";
import type { ArgDef } from "citty";
import { didYouMean } from "../src/did-you-mean.ts";
import { readToken, requireToken } from "../src/server/auth/token.ts";
import {
  environmentName,
  formatDuration,
  formatSize,
  OPTIONS,
  type OptionSpec,
  type ServerOptions,
} from "../src/server/index.ts";
import { asUsage, parseValue } from "./command.ts";
import { LOG_FORMATS, LOG_LEVELS, type LogFormat, type LogLevel } from "./daemon/line-logger.ts";

type Spec = Omit<OptionSpec, "key">;

const LOG_LEVEL: Spec = {
  name: "log-level",
  kind: "choice",
  choices: LOG_LEVELS,
  fallback: "info",
  help: "lowest level that is logged",
};
const LOG_FORMAT: Spec = {
  name: "log-format",
  kind: "choice",
  choices: LOG_FORMATS,
  fallback: "text",
  help: "format of log lines",
};
const SPECS: readonly Spec[] = [...OPTIONS, LOG_LEVEL, LOG_FORMAT];

const VALUE_HINTS: Record<OptionSpec["kind"], string> = {
  text: "TEXT",
  count: "NUMBER",
  size: "SIZE",
  duration: "TIME",
  flag: "",
  list: "LIST",
  choice: "CHOICE",
};
/** Options whose values are paths: they are made absolute, since the server runs in another folder. */
const PATHS: ReadonlySet<string> = new Set(["snapshot", "token-file", "tls-cert", "tls-key"]);
const NEGATION = "no-";

type Arguments = Readonly<Record<string, unknown>>;
type Environment = Readonly<Record<string, string | undefined>>;

/** All of these options, as citty's definitions. */
export function serverArguments(): Record<string, ArgDef> {
  return Object.fromEntries(SPECS.map((spec) => [cittyKey(spec), definition(spec)]));
}

/**
 * The server options that are given on the command line or else in the environment, checked, paths absolute.
 * The token file is read only to check it. Throws a UsageError naming the option or the variable.
 */
export function readServerOptions(args: Arguments, environment: Environment): ServerOptions {
  const options: Record<string, unknown> = {};
  for (const spec of OPTIONS) {
    const value = readOption(spec, args, environment);
    if (value === undefined) continue;
    options[spec.key] = PATHS.has(spec.name) && value !== "" ? resolve(String(value)) : value;
  }
  const { tokenFile } = options;
  if (tokenFile) asUsage(() => readToken(String(tokenFile)));
  const token = environment.TINYMQ_TOKEN;
  if (token) options.token = asUsage(() => requireToken(token, "TINYMQ_TOKEN"));
  return options as ServerOptions;
}

/** The log options, checked. Throws a UsageError naming the option or the variable. */
export function readLogOptions(
  args: Arguments,
  environment: Environment,
): { logLevel: LogLevel; logFormat: LogFormat } {
  const read = (spec: Spec): unknown => readOption(spec, args, environment) ?? spec.fallback;
  return { logLevel: read(LOG_LEVEL) as LogLevel, logFormat: read(LOG_FORMAT) as LogFormat };
}

/** A warning for each variable of the environment that looks like an option, and that nobody reads. */
export function unknownVariables(environment: Environment): string[] {
  const known = [...SPECS.map(environmentName), "TINYMQ_HOME", "TINYMQ_TOKEN"];
  return Object.keys(environment)
    .filter((name) => name.startsWith("TINYMQ_") && !known.includes(name))
    .map((name) => `${name} in the environment is unknown, and ignored${didYouMean(name, known)}`);
}

/** The value of one option; undefined if it is not given. */
function readOption(spec: Spec, args: Arguments, environment: Environment): unknown {
  const value = args[cittyKey(spec)];
  if (spec.kind !== "flag" && value !== undefined) return parseValue(spec, String(value));
  // citty turns "--no-auth" into auth: false.
  if (spec.kind === "flag" && value !== isNegated(spec)) return true;
  const variable = environmentName(spec);
  const text = environment[variable];
  return text ? parseValue(spec, text, variable) : undefined;
}

function isNegated(spec: Spec): boolean {
  return spec.kind === "flag" && spec.name.startsWith(NEGATION);
}

function cittyKey(spec: Spec): string {
  return isNegated(spec) ? spec.name.slice(NEGATION.length) : spec.name;
}

function definition(spec: Spec): ArgDef {
  const description = `${spec.help}${defaultText(spec)}`;
  if (spec.kind === "flag") return { type: "boolean", default: isNegated(spec), description };
  return { type: "string", valueHint: valueHint(spec), description };
}

function valueHint(spec: Spec): string {
  if (spec.choices) return spec.choices.join("|");
  return PATHS.has(spec.name) ? "FILE" : VALUE_HINTS[spec.kind];
}

function defaultText({ kind, fallback }: Spec): string {
  // Where 0 means "none", the help text says so.
  if (fallback === "" || fallback === 0 || typeof fallback === "boolean") return "";
  if (kind === "size") return ` (${formatSize(Number(fallback))})`;
  if (kind === "duration") return ` (${formatDuration(Number(fallback))})`;
  return ` (${fallback})`;
}
