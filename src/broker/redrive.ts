/** Moves dead letters back. They count as produced where they come to, and not as delivered where they were. */
import { concatBytes } from "../wire/bytes.ts";
import { MiB } from "../wire/limits.ts";
import { DEAD_LETTER_SUFFIX, withoutDeadLetterSuffix } from "../wire/topic-name.ts";
import type { Broker } from "./broker.ts";
import { withoutDeathHeaders } from "./dead-letters.ts";
import { nextTurn } from "./timers.ts";

const MESSAGES_AT_A_TIME = 1_024;

/**
 * Moves at most `limit` ready messages of `<name>.dead` to `name`, in order, and returns how many. `given` is
 * either of the two names. Throws NOT_FOUND if there is neither topic.
 */
export async function redrive(broker: Broker, given: string, limit: number): Promise<number> {
  const name = withoutDeadLetterSuffix(given);
  const deadName = name + DEAD_LETTER_SUFFIX;
  // An empty topic is removed after a while: whoever calls this at times must not see that.
  if (!broker.topics.has(deadName)) {
    broker.requireTopic(name);
    return 0;
  }
  // What is rejected while this runs stays, or it might never end.
  let left = Math.min(limit, broker.requireTopic(deadName).ready);
  let moved = 0;
  do {
    // Found anew each time: between two chunks either may be emptied and removed.
    const topic = broker.openTopic(name);
    const dead = broker.topics.get(deadName);
    if (dead === undefined) break;
    const taken = dead.take(Math.min(left, MESSAGES_AT_A_TIME), MiB, true);
    if (taken === null && !dead.isSweeping) break;
    if (taken !== null) {
      // No room is asked for: the messages were charged where they were. What others around them hold pins that memory.
      topic.moveIn(withoutDeathHeaders(concatBytes(taken.parts)), taken.count);
      for (const run of taken.runs) dead.done(run.firstOffset, run.count, null);
      if (broker.memoryUsed > broker.limits.maxMemory) dead.compact(1);
      moved += taken.count;
      left -= taken.count;
    }
    if (left > 0) await nextTurn();
  } while (left > 0);
  return moved;
}
