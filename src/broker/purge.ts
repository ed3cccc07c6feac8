/** A purge that lets others in: a million ids to forget must not block the server. */
import { nextTurn } from "./timers.ts";
import type { Topic } from "./topic.ts";

const MESSAGES_AT_A_TIME = 4_096;

/** Drops what no consumer of the topic holds, some in each turn; returns how many messages. */
export async function purge(topic: Topic): Promise<number> {
  // No more than there are now: a producer that goes on could keep it from ending.
  const most = topic.queued;
  let purged = 0;
  for (let some = most; some > 0 && purged < most; purged += some) {
    if (purged > 0) await nextTurn();
    some = topic.purge(Math.min(most - purged, MESSAGES_AT_A_TIME));
  }
  return purged;
}
