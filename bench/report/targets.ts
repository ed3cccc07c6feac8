/** The targets, each with what was found in the same run. */
import { type Figure, figure, ratio } from "../harness/statistics.ts";
import { MANY } from "../plan.ts";
import type { Results } from "../results.ts";
import { findCell, findCost, findFigure, shareOfEcho, subjectsOf, type Wanted } from "./find.ts";
import { bytes, compact, type Format, micros, milliseconds, percent, plain, times } from "./format.ts";

export interface Target {
  what: string;
  /** For people: "share ≥ 15 %". */
  wanted: string;
  found: Figure | undefined;
  format: Format;
  /** The figure behind the ratio. */
  absolute: string;
  /** Undefined where nothing was measured. */
  reached: boolean | undefined;
}

const TINYMQ = "tinymq";
/** A queued message of the memory measurement: its body, and its id as up to four bytes. */
const MESSAGE_BYTES = 128 + 4;
const SPARE_BYTES = 16;
const MEGABYTES = 1e6;

export function targetsOf(results: Results): Target[] {
  const both: Wanted = { workload: "both", subject: TINYMQ };
  const backlog: Wanted = { workload: "backlog", subject: TINYMQ, parameters: { produceStyle: "send" } };
  const groups: Wanted = { ...backlog, parameters: { produceStyle: "groups" } };
  const polled: Wanted = { ...backlog, parameters: { consumeStyle: "poll" } };
  const fanOut: Wanted = { workload: "fan-out", subject: TINYMQ, parameters: { consumers: 100 } };
  const large: Wanted = { ...both, parameters: { size: 16_384 } };
  const share = (what: string, least: number, wanted: Wanted, name = "") =>
    shareTarget(results, what, least, wanted, name);
  return [
    share("both at once, 1:1, every message acknowledged both ways, Bun", 0.15, both),
    share("produce pipelined through `send()`, each with its own promise, Bun", 0.18, backlog, "produced"),
    share("`send()` in groups of 5,000 with `await Promise.all`, Bun", 0.2, groups, "produced"),
    share("the same from Node", 0.11, { ...backlog, runtime: "node" }, "produced"),
    share("consume with `for await`, Bun", 0.22, backlog, "consumed"),
    share("`poll()` one by one after a backlog, Bun", 0.15, polled, "consumed"),
    share("fan-out to 100 subscribers, delivered bytes", 0.22, fanOut),
    share("both at once with bodies of 16 KiB", 0.4, large),
    ...besideTargets(results),
    awaitedTarget(results),
    memoryTarget(results),
    flatTarget(results, "flat-queued-ratio", "cost per message, 1,000 to 10,000,000 queued"),
    flatTarget(results, "flat-topics-ratio", "cost per message beside 1 to 100,000 idle topics"),
    controlTarget(
      results,
      "memory-idle",
      "memory after one message and 3 s of rest, beside the bare echo after one frame",
      1.45,
      bytes,
    ),
    controlTarget(
      results,
      "start-to-first-ack",
      "start to first acknowledged message, beside the bare echo's first answer",
      2,
      milliseconds,
    ),
    folderTarget(results),
    sizeTarget(results),
    firstVersionTarget(results),
    peersTarget(results),
  ];
}

function shareTarget(results: Results, what: string, least: number, wanted: Wanted, name: string): Target {
  const cell = findCell(results, wanted);
  const of = (metric: string): string =>
    name === "" ? metric : name + metric[0]!.toUpperCase() + metric.slice(1);
  const found = shareOfEcho(results, cell, of("bytesPerSecond"));
  const rate = cell?.figures[of("perSecond")];
  return {
    what,
    wanted: `share ≥ ${percent(least)}`,
    found,
    format: percent,
    absolute: rate === undefined ? "" : `${compact(rate.median)}/s`,
    reached: found && found.median >= least,
  };
}

/** Figures beside those of another subject, or of tinyMQ otherwise, in the same run. */
function besideTargets(results: Results): Target[] {
  const both = (more: Partial<Wanted>): Wanted => ({ workload: "both", subject: TINYMQ, ...more });
  const shared: Wanted = both({ parameters: { consumers: MANY } });
  const large = { size: 256 * 1024 };
  const rate: Wanted = { workload: "rate", subject: TINYMQ, parameters: { rate: 10_000 } };
  const beside = (what: string, limit: string, format: Format, figures: (Figure | undefined)[], name = "") =>
    besideTarget(what, limit, format, figures, name);
  const speed = (wanted: Wanted): Figure | undefined => findFigure(results, wanted, "perSecond");
  const p50 = (wanted: Wanted): Figure | undefined => findFigure(results, wanted, "ackP50");
  const best = bestPeer(results, large);
  return [
    beside(`one to ${MANY} shared consumers, beside core NATS's queue group`, "≥ 1", compact, [
      speed(shared),
      speed({ ...shared, subject: "nats-core" }),
    ]),
    beside(`one to ${MANY} shared consumers, beside one exclusive consumer`, "≥ 0.8", compact, [
      speed(shared),
      speed(both({})),
    ]),
    beside(
      "both at once, 256 KiB, beside the best peer",
      "≥ 1",
      compact,
      [speed(both({ parameters: large })), best?.found],
      best?.name,
    ),
    beside("10,000/s, p50 to the acknowledgement, beside the bare echo at that rate", "≤ 1.5", micros, [
      p50(rate),
      p50({ ...rate, subject: "control" }),
    ]),
    beside("the same, beside tinyMQ's Node client", "≤ 1", micros, [
      p50(rate),
      p50({ ...rate, runtime: "node" }),
    ]),
  ];
}

/** `limit` is "≥ N" or "≤ N", of the ratio of the first figure to the second, which may have a name. */
function besideTarget(
  what: string,
  limit: string,
  format: Format,
  [own, other]: (Figure | undefined)[],
  name: string,
): Target {
  const found = own && other && ratio(own, other);
  const bound = Number(limit.slice(2));
  return {
    what,
    wanted: `${limit} ×`,
    found,
    format: times,
    absolute:
      own && other ? `${format(own.median)} beside ${name} ${format(other.median)}`.replace("  ", " ") : "",
    reached: found && (limit.startsWith("≥") ? found.median >= bound : found.median <= bound),
  };
}

/** With server and client on a core each, where processes can be kept on cores. */
function awaitedTarget(results: Results): Target {
  const pinned =
    findCell(results, { workload: "awaited", subject: TINYMQ, parameters: { pinned: true } }) !== undefined;
  const [own, control] = [TINYMQ, "control"].map((subject) => {
    return findCell(results, { workload: "awaited", subject, parameters: { pinned } })?.figures.p50;
  });
  const found = own && control && ratio(own, control);
  return {
    what: "awaited `send()`, p50, beside the control's echo of the same size",
    wanted: "≤ 1.10 ×",
    found,
    format: times,
    absolute: own && control ? `${micros(own.median)} beside ${micros(control.median)}` : "",
    reached: found && found.median <= 1.1,
  };
}

function memoryTarget(results: Results): Target {
  const each = findCost(results, "memory-per-further-message", TINYMQ)?.figure;
  const found = each && figure(each.runs.map((run) => run - MESSAGE_BYTES));
  return {
    what: "memory per queued message beyond body, id and headers",
    wanted: `≤ ${SPARE_BYTES} B`,
    found,
    format: (value) => `${plain(value)} B`,
    absolute: each ? `${plain(each.median)} B with a body of 128 B, from 100,000 to 10,000,000` : "",
    reached: found && found.median <= SPARE_BYTES,
  };
}

/** Of the level whose ratio is farthest from 1. */
function flatTarget(results: Results, cost: string, what: string): Target {
  const levels = results.costs.filter((one) => one.cost === cost);
  const far = (value: number): number => Math.abs(value - 1);
  const worst = levels.toSorted((one, other) => far(other.figure.median) - far(one.figure.median))[0];
  return {
    what,
    wanted: "within 10 %",
    found: worst?.figure,
    format: times,
    absolute: worst ? `at ${(worst.at ?? 0).toLocaleString("en")}, the farthest from the lowest` : "",
    reached: worst && far(worst.figure.median) <= 0.1,
  };
}

function controlTarget(results: Results, cost: string, what: string, most: number, format: Format): Target {
  const own = findCost(results, cost, TINYMQ)?.figure;
  const control = findCost(results, cost, "control")?.figure;
  const found = own && control && ratio(own, control);
  return {
    what,
    wanted: `≤ ${most} ×`,
    found,
    format: times,
    absolute: own && control ? `${format(own.median)} beside ${format(control.median)}` : "",
    reached: found && found.median <= most,
  };
}

function folderTarget(results: Results): Target {
  const own = findCost(results, "folder-to-first-message", TINYMQ)?.figure;
  const peer = findCost(results, "folder-to-first-message", "bunqueue")?.figure;
  return {
    what: "from an empty folder to the first message consumed",
    wanted: "less than bunqueue's",
    found: own,
    format: milliseconds,
    absolute: peer ? `bunqueue ${milliseconds(peer.median)}` : "",
    reached: own && peer && own.median < peer.median,
  };
}

function sizeTarget(results: Results): Target {
  const own = findCost(results, "installed-size", TINYMQ)?.figure;
  const peer = findCost(results, "installed-size", "bunqueue")?.figure;
  const megabytes = (value: number): string => `${plain(value / MEGABYTES)} MB`;
  return {
    what: "installed size with all dependencies",
    wanted: "≤ 3 MB",
    found: own,
    format: megabytes,
    absolute: peer ? `bunqueue ${megabytes(peer.median)}` : "",
    reached: own && own.median <= 3 * MEGABYTES,
  };
}

function firstVersionTarget(results: Results): Target {
  const own = findCost(results, "first-version-per-second", TINYMQ)?.figure;
  const before = findCost(results, "first-version-per-second", "first version")?.figure;
  const found = own && before && ratio(own, before);
  return {
    what: "the first version's Python client, beside its own server",
    wanted: "≥ 1.5 ×",
    found,
    format: times,
    absolute: own && before ? `${compact(own.median)}/s beside ${compact(before.median)}/s` : "",
    reached: found && found.median >= 1.5,
  };
}

/** Its client comes with Bun, not from npm; its figure is shown beside the target. */
const BUN_REDIS = "redis-streams-bun";

/** The peer that does most, both at once; without core NATS, which acknowledges nothing. */
function bestPeer(
  results: Results,
  parameters: Wanted["parameters"],
): { name: string; found: Figure } | undefined {
  const peers = subjectsOf(results, "peer").flatMap(({ key, name }) => {
    const found = findFigure(results, { workload: "both", subject: key, parameters }, "perSecond");
    return found === undefined || key === "nats-core" || key === BUN_REDIS ? [] : [{ name, found }];
  });
  return peers.toSorted((one, other) => other.found.median - one.found.median)[0];
}

function peersTarget(results: Results): Target {
  const own = findCell(results, { workload: "both", subject: TINYMQ })?.figures.perSecond;
  const best = bestPeer(results, {});
  const found = own && best && ratio(own, best.found);
  const other = findCell(results, { workload: "both", subject: BUN_REDIS })?.figures.perSecond;
  const through = other ? `; through Bun's built-in client ${compact(other.median)}/s` : "";
  return {
    what: "both at once, beside the best peer that acknowledges",
    wanted: "≥ 5 ×",
    found,
    format: times,
    absolute: best ? `${best.name} ${compact(best.found.median)}/s${through}` : "",
    reached: found && found.median >= 5,
  };
}
