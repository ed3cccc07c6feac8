/** The program's commands. Each is loaded when it is called. */
import { command } from "./command.ts";
import { PROGRAM } from "./help.ts";

/** The program itself. */
export const root = command({
  meta: { name: PROGRAM, description: "a small, fast, in-memory message queue" },
  args: {},
  examples: [
    `${PROGRAM} start`,
    `echo hello | ${PROGRAM} produce greetings`,
    `${PROGRAM} consume greetings`,
    `${PROGRAM} stop`,
    `${PROGRAM} --startserver --port 9801     (the first version's form of: start --port 9801)`,
  ],
  subCommands: {
    start: async () => (await import("./commands/start.ts")).start,
    stop: async () => (await import("./commands/stop.ts")).stop,
    status: async () => (await import("./commands/status.ts")).status,
    topics: async () => (await import("./commands/topics.ts")).topics,
    produce: async () => (await import("./commands/produce.ts")).produce,
    consume: async () => (await import("./commands/consume.ts")).consume,
    tail: async () => (await import("./commands/tail.ts")).tail,
    bench: async () => (await import("./commands/bench.ts")).bench,
  },
});
