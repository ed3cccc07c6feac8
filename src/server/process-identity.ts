/**
 * Identifies processes. A process number alone does not, since numbers are given out again; a number and the
 * time at which the process started do, within one boot of the machine and one PID namespace.
 */
import { readFileSync, readlinkSync } from "node:fs";
import { hostname } from "node:os";

/** What process numbers are valid in: none of the texts has a newline. */
export interface Surroundings {
  /** The machine or the container, the same after it was started again: its name, and on Linux its machine id, if any. */
  readonly host: string;
  /** Linux: new each time that the machine starts. Elsewhere "". */
  readonly boot: string;
  /** Linux: the PID namespace, in which a number means one process; containers have their own. Elsewhere the host. */
  readonly namespace: string;
}

/** Throws if the system does not say. */
export function identifySurroundings(): Surroundings {
  const name = hostname();
  if (process.platform !== "linux") return { host: name, boot: "", namespace: name };
  return {
    host: `${name} ${readIfThere("/etc/machine-id")?.trim() ?? ""}`.trim(),
    boot: readFileSync(BOOT_ID, "utf8").trim(),
    namespace: readlinkSync("/proc/self/ns/pid"),
  };
}

const BOOT_ID = "/proc/sys/kernel/random/boot_id";

/**
 * What distinguishes the process of this number from every other that had or will have it; null if there is
 * none, or only a zombie. Linux: boot id and start time (source: proc(5), /proc/PID/stat field 22). Elsewhere:
 * the start time that `ps` prints, in seconds.
 */
export function identifyProcess(pid: number): string | null {
  return process.platform === "linux" ? identifyOnLinux(pid) : identifyWithPs(pid);
}

/** The number and the identity of this process. */
export function identifyThisProcess(): { pid: number; startTime: string } {
  const startTime = identifyProcess(process.pid);
  if (startTime === null) throw new Error("this process cannot find out when it started");
  return { pid: process.pid, startTime };
}

/** Linux: the fields of /proc/PID/stat by their numbers in proc(5), from 3 on; null if there is no process. */
export function processFields(pid: number): ((number: number) => string | undefined) | null {
  const stat = readIfThere(`/proc/${pid}/stat`);
  if (stat === null) return null;
  // The second field is the program's name in parentheses, and may hold any character.
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return (number) => fields[number - 3];
}

function identifyOnLinux(pid: number): string | null {
  const field = processFields(pid);
  if (field === null) return null;
  const state = field(3);
  const startTime = field(22);
  if (state === "Z" || state === "X" || startTime === undefined) return null;
  return `${readIfThere(BOOT_ID)?.trim() ?? "linux"} ${startTime}`;
}

function identifyWithPs(pid: number): string | null {
  // In one language and zone: the caller's may differ from one terminal to the next.
  const ps = Bun.spawnSync(["/bin/ps", "-o", "state=,lstart=", "-p", String(pid)], {
    env: { LC_ALL: "C", TZ: "UTC" },
    stderr: "ignore",
  });
  const match = /^(\S+)\s+(\S.*\S)\s*$/.exec(ps.stdout.toString().trim());
  if (!match || match[1]!.startsWith("Z")) return null;
  return match[2]!.replaceAll(/\s+/g, " ");
}

function readIfThere(path: string): string | null {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    // ESRCH: the process ended between the open and the read.
    if (code === "ENOENT" || code === "ESRCH") return null;
    throw error;
  }
}
