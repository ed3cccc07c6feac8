/** `tmqserver/server`: the server, to embed. */
export { TinyMQError } from "../errors.ts";
export { checkTopicName, withoutDeadLetterSuffix } from "../wire/topic-name.ts";
export { formatDuration, formatSize } from "../wire/units.ts";
export type { Logger } from "./logger.ts";
export { environmentName, OPTIONS, type OptionSpec, type ValueSpec } from "./option-table.ts";
export type { ServerParts } from "./parts.ts";
export { TinyMQServer } from "./server.ts";
export { parseOption, resolveOptions, type ServerOptions } from "./server-options.ts";
export { VERSION } from "./version.ts";
