/** What the figures were measured on. */
import { readFileSync } from "node:fs";
import { arch, cpus, loadavg, release, totalmem } from "node:os";
import { versionOf } from "./harness/server-process.ts";

export interface Machine {
  cpu: string;
  cores: number;
  memoryBytes: number;
  os: string;
  kernel: string;
  bun: string;
  node: string;
  /** Load of the last minute before the bench began. */
  load: number;
}

export async function describeMachine(): Promise<Machine> {
  const processors = cpus();
  return {
    cpu: `${processors[0]?.model.trim() ?? "unknown"} (${arch()})`,
    cores: processors.length,
    memoryBytes: totalmem(),
    os: osName(),
    kernel: /^\d+\.\d+(\.\d+)?/.exec(release())?.[0] ?? "unknown",
    bun: Bun.version,
    node: (await versionOf(["node", "--version"])) ?? "not installed",
    load: loadavg()[0] ?? 0,
  };
}

function osName(): string {
  try {
    return /^PRETTY_NAME="?([^"\n]+)/m.exec(readFileSync("/etc/os-release", "utf8"))?.[1] ?? process.platform;
  } catch {
    // Only some systems have the file.
    return process.platform;
  }
}
