/**
 * Reads a command line strictly, before citty does. citty accepts unknown options, options without a value
 * and surplus arguments, and misreads a command that stands behind an option. Here each of them is a UsageError
 * that names it, and citty is given one spelling only: `--name=value … -- arguments`.
 */
import type { ArgDef } from "citty";
import { didYouMean } from "../src/did-you-mean.ts";
import { checkTopicName } from "../src/server/index.ts";
import { asUsage, type Command, optionName, UsageError } from "./command.ts";

/** What a command line asks for. `path` is the command's name, as "topics purge"; "" is the program itself. */
export type Request =
  | { kind: "version" }
  | { kind: "help"; path: string; command: Command }
  | { kind: "run"; path: string; command: Command; rawArgs: string[] };

/** A UsageError with the name of the command that was given. */
export class MisusedCommand extends UsageError {
  readonly path: string;
  constructor(path: string, message: string, options?: ErrorOptions) {
    super(message, options);
    this.path = path;
  }
}

/** The first version's names of commands. */
const COMMAND_FLAGS: Readonly<Record<string, string>> = { "--startserver": "start", "--stopserver": "stop" };
const HELP = new Set(["--help", "-h"]);
const VERSION = new Set(["--version", "-v"]);

/** What the arguments of the program ask for. Throws a UsageError. */
export async function readCommandLine(argv: readonly string[], root: Command): Promise<Request> {
  const [first] = argv;
  if (first === undefined) throw new UsageError("a command is missing");
  if (first === "help" && argv.length > 1) return readCommandLine([...argv.slice(1), "--help"], root);
  if (first === "help") return { kind: "help", path: "", command: root };
  if (VERSION.has(first) && argv.length === 1) return { kind: "version" };
  const words = first.startsWith("-") ? commandFirst(argv, root) : [...argv];
  const { path, command, rest } = await findCommand(words, root);
  if (asksForHelp(rest)) return { kind: "help", path, command };
  if (!command.run) throw new MisusedCommand(path, "a command is missing");
  try {
    return { kind: "run", path, command, rawArgs: readArguments(rest, command) };
  } catch (error) {
    throw error instanceof UsageError ? new MisusedCommand(path, error.message, { cause: error }) : error;
  }
}

/** The same words with the command in front, where the first of them is an option. */
function commandFirst(argv: readonly string[], root: Command): string[] {
  const flags = argv.filter((word) => Object.hasOwn(COMMAND_FLAGS, word));
  if (flags.length > 1) throw new UsageError(`${flags[0]} and ${flags[1]} cannot be given together`);
  const [flag] = flags;
  if (flag !== undefined) return [COMMAND_FLAGS[flag]!, ...argv.filter((word) => word !== flag)];
  const name = argv.find((word) => Object.hasOwn(root.subCommands ?? {}, word));
  if (HELP.has(argv[0]!)) return [...(name ? [name] : []), "--help"];
  const option = argv[0]!.split("=")[0];
  if (name !== undefined)
    throw new UsageError(`option ${option} comes before the command: put it after "${name}"`);
  throw new UsageError(`option ${option} is unknown here: a command comes first`);
}

async function findCommand(
  words: readonly string[],
  root: Command,
): Promise<{ path: string; command: Command; rest: readonly string[] }> {
  let command = root;
  let depth = 0;
  while (command.subCommands && depth < words.length && !words[depth]!.startsWith("-")) {
    const word = words[depth]!;
    const names = Object.keys(command.subCommands);
    if (!names.includes(word)) {
      const path = words.slice(0, depth).join(" ");
      throw new MisusedCommand(path, `unknown command "${word}"${didYouMean(word, names)}`);
    }
    command = await command.subCommands[word]!();
    depth += 1;
  }
  return { path: words.slice(0, depth).join(" "), command, rest: words.slice(depth) };
}

function asksForHelp(words: readonly string[]): boolean {
  const end = words.indexOf("--");
  return words.slice(0, end === -1 ? words.length : end).some((word) => HELP.has(word));
}

function readArguments(words: readonly string[], command: Command): string[] {
  const definitions = Object.entries(command.args);
  const options = new Map(
    definitions
      .filter(([, definition]) => definition.type !== "positional")
      .map(([key, definition]) => [optionName(key, definition), definition]),
  );
  const given = new Map<string, string>();
  const positionals: string[] = [];
  for (let index = 0; index < words.length; index += 1) {
    const word = words[index]!;
    if (word === "--") {
      positionals.push(...words.slice(index + 1));
      break;
    }
    if (!word.startsWith("-") || word === "-") {
      positionals.push(word);
      continue;
    }
    const [name, definition] = findOption(word, options);
    if (given.has(name)) throw new UsageError(`option --${name} is given twice`);
    const takesNext = definition.type !== "boolean" && !word.includes("=");
    given.set(name, readOption(name, definition, word, words[index + 1]));
    if (takesNext) index += 1;
  }
  const wanted = definitions.filter(([, definition]) => definition.type === "positional");
  if (positionals.length > wanted.length)
    throw new UsageError(`unexpected argument "${positionals[wanted.length]}"`);
  if (positionals.length < wanted.length)
    throw new UsageError(`${wanted[positionals.length]![0].toUpperCase()} is missing`);
  const topic = positionals[wanted.findIndex(([name]) => name === "topic")];
  if (topic !== undefined) asUsage(() => checkTopicName(topic));
  return [...given.values(), "--", ...positionals];
}

function findOption(word: string, options: ReadonlyMap<string, ArgDef>): [string, ArgDef] {
  const written = word.split("=")[0]!;
  const name = written.slice(2);
  const definition = written.startsWith("--") ? options.get(name) : undefined;
  if (definition) return [name, definition];
  const names = [...options.keys()].map((option) => `--${option}`);
  throw new UsageError(`unknown option ${written}${didYouMean(written, names)}`);
}

/** The option as it is passed on to citty. */
function readOption(name: string, definition: ArgDef, word: string, next: string | undefined): string {
  const equals = word.indexOf("=");
  if (definition.type === "boolean") {
    if (equals !== -1) throw new UsageError(`option --${name} takes no value`);
    return `--${name}`;
  }
  const value = equals === -1 ? next : word.slice(equals + 1);
  // A negative number is a value, if a wrong one; any other word with a dash is the next option.
  const isOption = equals === -1 && value !== undefined && /^-[^\d]/.test(value);
  if (value === undefined || value === "" || isOption) throw new UsageError(`option --${name} needs a value`);
  return `--${name}=${value}`;
}
