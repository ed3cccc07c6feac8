/** The client's public surface. */
export * from "../errors.ts";
export type { Headers } from "../wire/encode.ts";
export type { Duration, Size } from "../wire/units.ts";
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
export { Consumer } from "./consumer.ts";
export type { ConsumedMessage } from "./message.ts";
export type {
  ConnectionOptions,
  ConnectionState,
  ConsumerOptions,
  InvalidMessage,
  OutgoingMessage,
  PollOptions,
  ProducerOptions,
  RetryOptions,
  SendOptions,
  StopOptions,
  SubscriberOptions,
} from "./options.ts";
export { Producer } from "./producer.ts";
export type { ReconnectOptions } from "./reconnect.ts";
export type { TlsOptions } from "./sockets/socket.ts";
export { type PublishedMessage, Subscriber } from "./subscriber.ts";
export { adminClient, TinyMQTransport, type TransportOptions } from "./transport.ts";
