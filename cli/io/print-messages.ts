/** What `consume` and `tail` have in common: messages, one behind the other, to standard output. */
import type { MessageOutput } from "./standard-output.ts";

/** What a loop over messages needs to know. */
export interface Printing<Message> {
  messages: AsyncIterator<Message>;
  output: MessageOutput<Message>;
  /** Messages to print at most. */
  limit: number;
  encode(message: Message): Uint8Array;
  /** Called when all that has come is written and `next` is not there yet. True: the end. */
  isEnd(next: Promise<unknown>): Promise<boolean>;
}

/** Prints messages until there are no more, the limit is reached, nobody reads any more, or `isEnd` says so. */
export async function printMessages<Message>(printing: Printing<Message>): Promise<void> {
  const { messages, output, limit, encode, isEnd } = printing;
  while (output.written + output.waiting < limit) {
    if (output.isFull) await output.flush();
    if (output.closed) return;
    const next = messages.next();
    // Most are there already: they are written together, and no time is lost on waiting for each.
    const isHere = Bun.peek.status(next) === "fulfilled";
    if (!isHere) await output.flush();
    if (!isHere && (output.closed || (await isEnd(next)))) return;
    const result = await next;
    if (result.done) break;
    output.add(result.value, encode(result.value));
  }
  await output.flush();
}
