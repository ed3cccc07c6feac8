/**
 * Identifies processes. A process number alone does not, since numbers are given out again; a number and the
 * time at which the process started do, within one boot of the machine.
 */
import { readFileSync } from "node:fs";

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
  return `${readIfThere("/proc/sys/kernel/random/boot_id")?.trim() ?? "linux"} ${startTime}`;
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
