/** What a broker and its topics hold at one moment, for Admin. */
import type { TopicInfo } from "../gen/tinymq/v1/admin.ts";
import type { Broker } from "./broker.ts";
import type { Topic } from "./topic.ts";

/** Of all topics. Memory in bytes. */
export function brokerStats(broker: Broker) {
  let messages = 0;
  for (const topic of broker.topics.values()) messages += topic.queued;
  return {
    instance: broker.instance,
    topics: broker.topics.size,
    messages,
    memoryUsed: broker.memoryUsed,
    memoryLimit: broker.limits.maxMemory,
    counters: { ...broker.shared.counters },
  };
}

export function topicInfo(topic: Topic): TopicInfo {
  const { backlog, acceptor, producers, dispatcher } = topic;
  return {
    name: topic.name,
    ready: backlog.ready,
    unacked: backlog.leased,
    delayed: (acceptor.delays?.count ?? 0) + (backlog.heldBack?.count ?? 0),
    memory: topic.memory,
    producers: producers.connected,
    consumers: dispatcher.consumers,
    standbys: dispatcher.standbys,
    subscribers: topic.subscribers,
    counters: { ...topic.tally.counters },
    heldMs: Math.max(0, Math.round(backlog.heldUntil - topic.now())),
  };
}

/** Topics whose name begins with `prefix` and sorts after `after` ("": all), at most `limit`, by name. */
export function listTopics(
  broker: Broker,
  { prefix, after, limit }: { prefix: string; after: string; limit: number },
): { topics: TopicInfo[]; total: number } {
  const { names, total } = broker.names.page(prefix, after, limit);
  return { topics: names.map((name) => topicInfo(broker.requireTopic(name))), total };
}
