/** The client's public surface. */
export * from "../errors.ts";
export type { Headers } from "../wire/encode.ts";
export type { Duration, Size } from "../wire/units.ts";
export { adminClient } from "./admin-client.ts";
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
export type { ConnectionOptions, ConnectionState } from "./connection-options.ts";
export { Consumer } from "./consumer.ts";
export type { ConsumerOptions, PollOptions } from "./consumer-options.ts";
export type { ConsumedMessage, RetryOptions } from "./message.ts";
export { Producer } from "./producer.ts";
export type { OutgoingMessage, ProducerOptions, SendOptions } from "./producer-options.ts";
export type { ReconnectOptions } from "./reconnect.ts";
export type { TlsOptions } from "./sockets/socket.ts";
export { type PublishedMessage, Subscriber, type SubscriberOptions } from "./subscriber.ts";
export { TinyMQTransport, type TransportOptions } from "./transport.ts";
