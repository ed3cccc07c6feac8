/** Everything that is measured, in the order of the tables. */
import { control } from "./control/control.ts";
import type { Subject } from "./harness/subject.ts";
import { beanstalkd } from "./peers/beanstalkd.ts";
import { bullmq } from "./peers/bullmq.ts";
import { bunqueue } from "./peers/bunqueue.ts";
import { mosquitto } from "./peers/mosquitto.ts";
import { natsCore } from "./peers/nats-core.ts";
import { natsJetstream } from "./peers/nats-jetstream.ts";
import { rabbitmq } from "./peers/rabbitmq.ts";
import { redisLists } from "./peers/redis-lists.ts";
import { redisStreams } from "./peers/redis-streams.ts";
import { redisStreamsBun } from "./peers/redis-streams-bun.ts";
import { tinymq } from "./tinymq/tinymq.ts";

export const SUBJECTS: readonly Subject[] = [
  control,
  tinymq,
  natsJetstream,
  redisStreams,
  redisStreamsBun,
  redisLists,
  beanstalkd,
  rabbitmq,
  mosquitto,
  bunqueue,
  bullmq,
  natsCore,
];

/** Throws if there is none. */
export function subjectByKey(key: string): Subject {
  const found = SUBJECTS.find((subject) => subject.key === key);
  if (found !== undefined) return found;
  throw new Error(`there is no "${key}" to measure: ${SUBJECTS.map((subject) => subject.key).join(", ")}`);
}
