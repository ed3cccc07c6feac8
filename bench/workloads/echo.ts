/** The control's own workload: 64-KiB frames, 32 in flight. Its bytes a second are what shares are shares of. */
import { rates, type Sample, type Workload, withCpu } from "./workload.ts";

export const ECHO_FRAME_BYTES = 64 * 1024;

export const echo: Workload = {
  key: "echo",
  title: "control: 64-KiB frames echoed, 32 in flight",
  firstCount: 2_000,
  suits: ({ role }) => role === "control",
  async run(session, _parameters, count): Promise<Sample> {
    const size = ECHO_FRAME_BYTES;
    return await session.withTopic({ size, consumers: 0 }, async () => {
      const before = session.cpu();
      const task = { size, count, style: "send" as const, ahead: null };
      const { startedAt, endedAt } = await session.producer.ask("pipelined", task);
      return withCpu(rates(count, size, endedAt - startedAt), before, session.cpu(), count);
    });
  },
  seconds: (sample, count) => count / sample.perSecond!,
};
