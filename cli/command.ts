/** What a command is: citty's definition, with examples for its help. */
import { type ArgDef, type ArgsDef, type CommandDef, defineCommand } from "citty";
import { TinyMQError } from "../src/errors.ts";
import { OPTIONS, parseOption, type ValueSpec } from "../src/server/index.ts";

/** A command of the program. Subcommands are loaded when they are called. */
export interface Command {
  meta: { name: string; description: string };
  args: ArgsDef;
  examples: readonly string[];
  subCommands?: Readonly<Record<string, () => Promise<Command>>>;
  run?: CommandDef["run"];
}

/** Defines a command; `run` gets its arguments with the types that `args` gives them. */
export function command<const Args extends ArgsDef>(
  definition: CommandDef<Args> & Pick<Command, "meta" | "examples" | "subCommands"> & { args: Args },
): Command {
  return defineCommand(definition) as unknown as Command;
}

/** The command line is wrong, and the message says where: exit code 2. */
export class UsageError extends TinyMQError {
  override name = "UsageError";
  constructor(message: string, options?: ErrorOptions) {
    super("INVALID_ARGUMENT", message, options);
  }
}

/** Bytes of the largest message that a server can be set to take. */
export const LARGEST_MESSAGE = OPTIONS.find(({ key }) => key === "maxMessageSize")!.most!;

/** A value of the command line, checked as `spec` says. Throws a UsageError that calls it `name`. */
export function parseValue(spec: ValueSpec, value: string, name = `--${spec.name}`): unknown {
  return asUsage(() => parseOption({ ...spec, name }, value));
}

/** What `read` returns; if it throws a TinyMQError, the command line is wrong: a UsageError with its message. */
export function asUsage<T>(read: () => T): T {
  try {
    return read();
  } catch (error) {
    if (error instanceof TinyMQError) throw new UsageError(error.message, { cause: error });
    throw error;
  }
}

/** A whole number from the command line; `fallback` if it is not given. */
export function parseCount(
  name: string,
  value: string | undefined,
  fallback: number,
  range: { least?: number; most?: number } = {},
): number {
  return value === undefined ? fallback : (parseValue({ name, kind: "count", ...range }, value) as number);
}

/** An option's name on the command line. A flag that is on by default is written with "no-", as in citty. */
export function optionName(key: string, definition: ArgDef): string {
  return definition.type === "boolean" && definition.default === true ? `no-${key}` : key;
}
