/** tinyMQ's client, for Bun and browsers. */
export * from "./client/index.ts";
