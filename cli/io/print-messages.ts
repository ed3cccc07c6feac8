/** What `consume` and `tail` have in common: they print one message after the other. */
import type { MessageOutput } from "./standard-output.ts";

/** What is printed, and until when. */
export interface Printing<Message> {
  messages: AsyncIterator<Message>;
  output: MessageOutput<Message>;
  /** Messages to print at most. */
  limit: number;
  encode(message: Message): Uint8Array;
  /** Called when all messages that have arrived are written and `next` is not there yet. True ends the loop. */
  isEnd(next: Promise<unknown>): Promise<boolean>;
}

/** Prints messages until there are no more, the limit is reached, the reader has gone, or `isEnd` says so. */
export async function printMessages<Message>(printing: Printing<Message>): Promise<void> {
  const { messages, output, limit, encode, isEnd } = printing;
  while (output.written + output.waiting < limit) {
    if (output.isFull) await output.flush();
    if (output.closed) return;
    const next = messages.next();
    // Messages that are there already are written together, without a wait for each.
    const isHere = Bun.peek.status(next) === "fulfilled";
    if (!isHere) await output.flush();
    if (!isHere && (output.closed || (await isEnd(next)))) return;
    const result = await next;
    if (result.done) break;
    output.add(result.value, encode(result.value));
  }
  await output.flush();
}
