/** The administrator's calls. */
import { AdminClient } from "../gen/tinymq/v1/admin.client.ts";
import { TinyMQTransport, type TransportOptions } from "./transport.ts";

/** The generated client of the service `Admin` for the server at `host:port`. Its calls throw `TinyMQError`s. */
export function adminClient(
  host: string,
  port: number,
  options: Omit<TransportOptions, "host" | "port"> = {},
): AdminClient {
  return new AdminClient(new TinyMQTransport({ ...options, host, port }));
}
