/** A purge that lets others in: a million ids to forget must not block the server. */
import { nextTurn } from "./timers.ts";
import type { Topic } from "./topic.ts";

const MESSAGES_AT_A_TIME = 4_096;

/** Drops what no consumer of the topic holds, some in each turn; returns how many messages. */
export async function purge(topic: Topic): Promise<number> {
  // No more than there are now: a producer that goes on could keep it from ending.
  const most = topic.queued;
  let purged = 0;
  for (let turn = 0; purged < most; turn++) {
    if (turn > 0) await nextTurn();
    const some = topic.purge(Math.min(most - purged, MESSAGES_AT_A_TIME));
    purged += some;
    // Where all that were on their way to the dead letters had expired, none of them counts.
    if (some === 0 && !topic.returns.isDying) break;
  }
  return purged;
}
