/** The program `tmqserver`. Only here an error is printed, and only here the process exits. */
import { runCommand } from "citty";
import manifest from "../package.json" with { type: "json" };
import { TOKEN_ADVICE } from "../src/client/close-error.ts";
import { CODE_NUMBERS } from "../src/errors.ts";
import { callName } from "./call-name.ts";
import { UsageError } from "./command.ts";
import { MisusedCommand, readCommandLine } from "./command-line.ts";
import { helpText } from "./help.ts";
import { bold, complain, print, talk } from "./io/talk.ts";
import { root } from "./root.ts";

/** Never reached through a proxy. */
const LOOPBACK = ["localhost", "127.0.0.1", "::1"];

bypassProxies();
process.exit(await main(process.argv.slice(2)));

/** The exit code: 0 well, 1 failed, 2 wrong usage. */
async function main(argv: readonly string[]): Promise<number> {
  try {
    if (argv.length === 0) {
      complain(await helpText("", root, (title) => title));
      return 2;
    }
    await obey(argv);
    return 0;
  } catch (error) {
    return explain(error);
  }
}

async function obey(argv: readonly string[]): Promise<void> {
  const request = await readCommandLine(argv, root);
  if (request.kind === "version") {
    print(`${manifest.version}\n`);
  } else if (request.kind === "help") {
    print(await helpText(request.path, request.command, bold));
  } else {
    await warnOfVariables();
    try {
      await runCommand(request.command, { rawArgs: request.rawArgs });
    } catch (error) {
      throw error instanceof UsageError
        ? new MisusedCommand(request.path, error.message, { cause: error })
        : error;
    }
  }
}

/** Most commands have no such variable, and need not load the list of those that are known. */
async function warnOfVariables(): Promise<void> {
  if (!Object.keys(process.env).some((name) => name.startsWith("TINYMQ_"))) return;
  const { unknownVariables } = await import("./server-arguments.ts");
  for (const warning of unknownVariables(process.env)) talk.warn(warning);
}

/** Bun reads these variables at each request, the one in lower case first. */
function bypassProxies(): void {
  const given = process.env.no_proxy ?? process.env.NO_PROXY ?? [];
  process.env.no_proxy = process.env.NO_PROXY = [given, LOOPBACK].flat().join(",");
}

/** Prints what went wrong; returns the exit code. */
function explain(error: unknown): number {
  if (error instanceof UsageError) {
    const path = error instanceof MisusedCommand ? error.path : "";
    talk.error(error.message);
    talk.info(`Try: ${[callName(), path, "--help"].filter((word) => word !== "").join(" ")}`);
    return 2;
  }
  talk.error(describe(error));
  return 1;
}

/** Errors of the system and of tinyMQ explain themselves; any other comes with its stack trace. */
function describe(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const { code } = error as { code?: unknown };
  // By its code, not its class: the server in the foreground comes from a bundle of its own.
  const isOurs = typeof code === "string" && Object.hasOwn(CODE_NUMBERS, code) && code !== "INTERNAL";
  const message = error.message.replace(
    TOKEN_ADVICE,
    ": name its file with --token-file, or set TINYMQ_TOKEN",
  );
  return isOurs || "syscall" in error ? message : (error.stack ?? message);
}
