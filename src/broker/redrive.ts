/** Moves dead letters back to the topic they came from. */

import { concatBytes } from "../wire/bytes.ts";
import { MiB } from "../wire/limits.ts";
import { chain } from "../wire/maybe-promise.ts";
import { DEAD_LETTER_SUFFIX } from "../wire/topic-name.ts";
import type { Broker } from "./broker.ts";
import { revive } from "./dead-letters.ts";

const MESSAGES_AT_A_TIME = 1_024;

/**
 * Moves at most `limit` ready messages of `<name>.dead` to `name`, in order, and returns how many. Throws
 * NOT_FOUND if there is no dead-letter topic.
 */
export async function redrive(broker: Broker, name: string, limit: number): Promise<number> {
  const dead = broker.requireTopic(name + DEAD_LETTER_SUFFIX);
  const topic = await broker.openTopic(name);
  // What is rejected while this runs is for the next time, or it would never end.
  let left = Math.min(limit, dead.ready);
  let moved = 0;
  while (left > 0) {
    // Copied before anything is awaited: the parts are views of a log that others write.
    const taken = await chain(dead.take(Math.min(left, MESSAGES_AT_A_TIME), MiB), (delivery) =>
      delivery === null ? null : { ...delivery, batch: revive(concatBytes(delivery.parts)) },
    );
    if (taken === null) break;
    const { batch } = taken;
    try {
      // No room is asked for: the messages were charged where they were.
      await topic.store(batch, taken.count, 0);
    } catch (error) {
      for (const run of taken.runs) dead.giveBack(run.firstOffset, run.count, run.deliveries);
      throw error;
    }
    topic.count("produced", taken.count);
    topic.publish(batch, taken.count);
    for (const run of taken.runs) dead.done(run.firstOffset, run.count);
    topic.dispatcher.pump();
    moved += taken.count;
    left -= taken.count;
  }
  return moved;
}
