/** A note for people who may have misspelt a topic's name. */
import { didYouMean } from "../src/did-you-mean.ts";
import { TinyMQError } from "../src/errors.ts";
import { ask, findTopic } from "./admin.ts";
import { talk } from "./io/talk.ts";
import type { Target } from "./target.ts";

/**
 * Says on standard error that the server knows of no message of the topic, where that is a terminal: whoever waits
 * there may have meant another name. A script may well read a topic before anybody writes to it, so it is told nothing.
 */
export async function noteNewTopic(target: Target, topic: string): Promise<void> {
  if (!process.stderr.isTTY) return;
  try {
    await noteIfNew(target, topic);
  } catch (error) {
    // It is only a note: the messages come by another way.
    if (!(error instanceof TinyMQError)) throw error;
    talk.info(`cannot tell whether topic "${topic}" ever had messages: ${error.message}`);
  }
}

async function noteIfNew(target: Target, topic: string): Promise<void> {
  const found = await findTopic(target, topic);
  const { ready = 0, unacked = 0, delayed = 0, counters } = found ?? {};
  if (ready + unacked + delayed + (counters?.produced ?? 0) + (counters?.published ?? 0) > 0) return;
  // One page of names will do.
  const all = { prefix: "", after: "", limit: 0 };
  const { topics } = await ask(target, (admin, options) => admin.listTopics(all, options));
  const others = topics.map(({ name }) => name).filter((name) => name !== topic);
  talk.info(
    `topic "${topic}" is empty, and the server knows of no earlier messages${didYouMean(topic, others)}`,
  );
}
