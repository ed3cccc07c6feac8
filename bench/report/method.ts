/** The last part of docs/benchmarks.md: who was measured, how, and how to do it again. */
import type { Results } from "../results.ts";
import { table } from "./format.ts";

export function method(results: Results): string[] {
  return [
    "## Who was measured",
    table(
      ["", "version", "server", "client", "what it promises"],
      results.subjects.map(({ name, version, command, settings, client, promise }) => [
        name,
        version,
        [`\`${command}\``, settings].filter((part) => part !== "" && part !== "``").join("; "),
        client,
        promise,
      ]),
      "---",
    ),
    skippedList(results),
    "## How",
    METHOD,
    "## Again, on your machine",
    AGAIN,
  ];
}

function skippedList({ skipped }: Results): string {
  const lines = Object.entries(skipped).map(([name, why]) => `- ${name}: ${why}`);
  return lines.length === 0 ? "" : `Not measured:\n\n${lines.join("\n")}`;
}

const METHOD = `\
- Everything runs on one machine over its loopback address. The server, the producer and the consumer are a process
  each; of "many", all connections of one side share a process. Servers keep nothing on disk. Peers' servers are
  those of the distribution named above, in the versions of the table; newer ones may do better.
- Clients run in Bun, those of tinyMQ and of the control in Node too. Each peer is used with its best-known client,
  pipelined as its documentation advises; what that means is in the table above.
- Every message carries its producer and its number. The receiver checks each number and body: a run in which a message is
  missing, damaged, or arrives twice where once is promised, is shown as failed.
- Each cell is warmed up twice, which also finds how many messages fill a run. Then the cells of a table run in turn,
  the control among them, round after round and every second round in the opposite order, so that whatever else the
  machine does affects all alike. Shares and ratios are taken round by round; their median is what counts.
- Bodies are bytes, made in advance and used again. tinyMQ's client uses its codec \`bytes\` and its defaults. At most
  4 MiB of bodies are in flight; each client says how many messages suit it.
- "Awaited" on a core each: with two cores the kernel may put both ends on one, which halves the time. Only where it
  has no choice can two be compared, so the target is taken there.
- Where slow receivers lose messages (core NATS, and every fan-out), the producer waits for the slowest receiver,
  which reports its progress outside of the queue.
- CPU time is that of the process, user and system. Memory is resident memory, as the kernel counts it; idle memory
  is that of a server through which one message went (of the control: one echo) and which then rested for 3 s.
- Start is the time from starting the server's process until the first message of a client that runs already is
  acknowledged; of the control, until its first echo arrives.`;

const AGAIN = `\
\`\`\`sh
apt-get install nats-server redis-server beanstalkd rabbitmq-server mosquitto   # those that you want
make bench         # all, some 30 minutes; writes this page, its plots, and bench/results/full.json (not in git)
make bench-quick   # tinyMQ and the control, under two minutes
bun bench/main.ts --only both,rate --peers redis-streams --runs 7
bun bench/main.ts --docs bench/results/full.json   # the page once more, from your last run
bun bench/main.ts --quick --only both,backlog --against ../other-checkout   # two builds, in alternating pairs
\`\`\`

What is not installed is skipped by name. A quiet machine matters more than a fast one: compare the ranges.`;
