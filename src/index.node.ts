/** tinyMQ's client, for Node. */
import { useSockets } from "./client/sockets/runtime.ts";
import { openNodeSocket } from "./client/sockets/socket-node.ts";

useSockets(openNodeSocket);

export * from "./client/index.ts";
