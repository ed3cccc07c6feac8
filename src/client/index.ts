/** The client's public surface. */
export * from "../errors.ts";
export type { Headers } from "../wire/encode.ts";
export type { Duration, Size } from "../wire/units.ts";
export { adminClient } from "./admin.ts";
export {
  bytes,
  type Codec,
  type Decoder,
  type EncodedBody,
  type Encoder,
  json,
  protobuf,
  type StandardSchema,
  text,
} from "./codecs.ts";
export { Consumer, type ConsumerOptions, type PollOptions } from "./consumer.ts";
export type { ConsumedMessage, RetryOptions } from "./message.ts";
export type { ConnectionOptions, ConnectionState } from "./options.ts";
export { type OutgoingMessage, Producer, type ProducerOptions, type SendOptions } from "./producer.ts";
export type { ReconnectOptions } from "./reconnect.ts";
export type { TlsOptions } from "./sockets/socket.ts";
export { type PublishedMessage, Subscriber, type SubscriberOptions } from "./subscriber.ts";
export { TinyMQTransport, type TransportOptions } from "./transport.ts";
