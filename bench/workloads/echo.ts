/** The control's own workload: frames echoed, 32 in flight. With 64 KiB its bytes a second are what shares are shares of. */
import { rates, type Sample, type Workload, withCpu } from "./workload.ts";

export const ECHO_FRAME_BYTES = 64 * 1024;

export const echo: Workload = {
  key: "echo",
  firstCount: 2_000,
  suits: ({ role }) => role === "control",
  async run(session, { size }, count): Promise<Sample> {
    return await session.withTopic({ size, consumers: 0 }, async () => {
      const before = session.cpu();
      const task = { size, count, style: "send" as const, ahead: null };
      const { startedAt, endedAt } = await session.producer.ask("pipelined", task);
      return withCpu(rates(count, size, endedAt - startedAt), before, session.cpu(), count);
    });
  },
  seconds: (sample, count) => count / sample.perSecond!,
};
