/** The text of `--help`: what the program, or one of its commands, takes. */
import type { ArgDef } from "citty";
import { type Command, optionName } from "./command.ts";
import { alignColumns } from "./io/table.ts";

/** The name that people type. */
export const PROGRAM = "tmqserver";
const WIDTH = 100;

/** The help of the command that `path` names ("" for the program itself), ending in a newline. */
export async function helpText(
  path: string,
  command: Command,
  paint: (title: string) => string,
): Promise<string> {
  const positionals = Object.entries(command.args).filter(
    ([, definition]) => definition.type === "positional",
  );
  const names = positionals.map(([name]) => name.toUpperCase());
  const options = Object.entries(command.args).filter(([, definition]) => definition.type !== "positional");
  const commands = await Promise.all(
    Object.entries(command.subCommands ?? {}).map(async ([name, load]) => {
      return [name, (await load()).meta.description] as const;
    }),
  );
  const sections = [
    `${path === "" ? "tinyMQ" : `${PROGRAM} ${path}`}: ${command.meta.description}`,
    section("Usage", usageLines(path, command, names), paint),
    section("Commands", columns(commands), paint),
    section(
      "Arguments",
      columns(positionals.map(([name, { description }]) => [name.toUpperCase(), description ?? ""])),
      paint,
    ),
    section("Options", columns(options.map(optionRow)), paint),
    section("Examples", command.examples, paint),
    path === "" ? `Options of a command: ${PROGRAM} COMMAND --help` : "",
  ];
  return `${sections.filter((text) => text !== "").join("\n\n")}\n`;
}

function usageLines(path: string, command: Command, positionals: string[]): string[] {
  const program = [PROGRAM, path].filter((word) => word !== "").join(" ");
  const options = Object.values(command.args).some(({ type }) => type !== "positional") ? " [options]" : "";
  const lines = command.run ? [[program, ...positionals].join(" ") + options] : [];
  return command.subCommands ? [...lines, `${program} COMMAND …`] : lines;
}

function optionRow([key, definition]: [string, ArgDef]): [string, string] {
  const value = definition.type === "boolean" ? "" : ` ${definition.valueHint ?? "TEXT"}`;
  return [`--${optionName(key, definition)}${value}`, definition.description ?? ""];
}

function section(title: string, lines: readonly string[], paint: (title: string) => string): string {
  return lines.length === 0 ? "" : [paint(`${title}:`), ...lines.map((line) => `  ${line}`)].join("\n");
}

function columns(rows: ReadonlyArray<readonly [string, string]>): string[] {
  const width = WIDTH - Math.max(0, ...rows.map(([name]) => name.length)) - 2;
  const lines = rows.flatMap(([name, text]) =>
    wrap(text, width).map((line, index) => [index === 0 ? name : "", line]),
  );
  return alignColumns(lines);
}

function wrap(text: string, width: number): string[] {
  const lines: string[] = [];
  let line = "";
  for (const word of text.split(" ")) {
    if (line !== "" && line.length + 1 + word.length > width) {
      lines.push(line);
      line = word;
    } else {
      line = line === "" ? word : `${line} ${word}`;
    }
  }
  return [...lines, line];
}
