/** The program `tmqserver`. Only here an error is printed, and only here the process exits. */
import { runCommand } from "citty";
import manifest from "../package.json" with { type: "json" };
import { CODE_NUMBERS } from "../src/errors.ts";
import { type Command, command, UsageError } from "./command.ts";
import { MisusedCommand, readCommandLine } from "./command-line.ts";
import { helpText, PROGRAM } from "./help.ts";
import { bold, print, talk } from "./talk.ts";

const root = command({
  meta: { name: PROGRAM, description: "a small, fast, in-memory message queue" },
  args: {},
  examples: [
    `${PROGRAM} start`,
    `echo hello | ${PROGRAM} produce greetings`,
    `${PROGRAM} consume greetings`,
    `${PROGRAM} stop`,
    `${PROGRAM} --startserver --port 9801     (the first version's way to say: start --port 9801)`,
  ],
  subCommands: {
    start: async () => (await import("./commands/start.ts")).start,
    stop: async () => (await import("./commands/stop.ts")).stop,
    status: async () => (await import("./commands/status.ts")).status,
    topics: async () => (await import("./commands/topics.ts")).topics,
  },
});

process.exit(await main(process.argv.slice(2)));

/** The exit code: 0 well, 1 failed, 2 wrong usage. */
async function main(argv: readonly string[]): Promise<number> {
  try {
    await obey(argv, root);
    return 0;
  } catch (error) {
    return explain(error);
  }
}

async function obey(argv: readonly string[], program: Command): Promise<void> {
  const request = await readCommandLine(argv, program);
  if (request.kind === "version") {
    print(`${manifest.version}\n`);
  } else if (request.kind === "help") {
    print(await helpText(request.path, request.command, bold));
  } else {
    try {
      await runCommand(request.command, { rawArgs: request.rawArgs });
    } catch (error) {
      throw error instanceof UsageError
        ? new MisusedCommand(request.path, error.message, { cause: error })
        : error;
    }
  }
}

/** Says what went wrong, and how bad it is. */
function explain(error: unknown): number {
  if (error instanceof UsageError) {
    const path = error instanceof MisusedCommand ? error.path : "";
    talk.error(error.message);
    talk.info(`Try: ${[PROGRAM, path, "--help"].filter((word) => word !== "").join(" ")}`);
    return 2;
  }
  // Errors of the system and of tinyMQ explain themselves; of any other the stack is wanted.
  talk.error(
    isExpected(error) ? error.message : error instanceof Error ? (error.stack ?? error.message) : error,
  );
  return 1;
}

/** By its code, not its class: the server in the foreground comes from a bundle of its own. */
function isExpected(error: unknown): error is Error & { code: string } {
  if (!(error instanceof Error) || !("code" in error) || typeof error.code !== "string") return false;
  return (Object.hasOwn(CODE_NUMBERS, error.code) && error.code !== "INTERNAL") || "syscall" in error;
}
