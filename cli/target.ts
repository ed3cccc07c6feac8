/** Which server a client command talks to. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { parseCount } from "./command.ts";
import { PidFile } from "./pid-file.ts";
import type { ServerRecord } from "./server-record.ts";
import { checkStateFolder, PID_FILE, stateFolder } from "./state-folder.ts";

/** Where a server is, and how it is talked to. */
export interface Target {
  host: string;
  port: number;
  tls: boolean;
  /** "": none. */
  token: string;
  /** The server of this user's state folder, which needs no proof of who it is. */
  own: boolean;
}

/** The options that every client command has. */
export const TARGET_ARGUMENTS = {
  host: {
    type: "string",
    valueHint: "HOST",
    description: "the server's address (that of the running server, or localhost)",
  },
  port: {
    type: "string",
    valueHint: "NUMBER",
    description: "the server's port (that of the running server, or 9800)",
  },
  "token-file": {
    type: "string",
    valueHint: "FILE",
    description: "file with the token that the server asks for (or TINYMQ_TOKEN)",
  },
  tls: { type: "boolean", default: false, description: "the server uses TLS" },
} as const;

export interface TargetArguments {
  host?: string;
  port?: string;
  "token-file"?: string;
  tls?: boolean;
}

const DEFAULT_HOST = "localhost";
const DEFAULT_PORT = 9_800;

/** What the command line says, else the environment, else the running server, else localhost:9800. */
export function findTarget(args: TargetArguments, environment = process.env): Target {
  const given = namedTarget(args, environment);
  const tokenFile = args["token-file"];
  if (given !== null) return { ...given, token: readToken(tokenFile, environment, ""), own: false };
  const record = runningServer();
  if (record !== null) return targetOf(record, tokenFile, environment);
  const token = readToken(tokenFile, environment, "");
  return { host: DEFAULT_HOST, port: DEFAULT_PORT, tls: args.tls ?? false, token, own: false };
}

/** The server that the command line or the environment names; null if they name none. */
export function namedTarget(
  args: TargetArguments,
  environment = process.env,
): Pick<Target, "host" | "port" | "tls"> | null {
  const host = args.host ?? (environment.TINYMQ_HOST || undefined);
  const port = args.port ?? (environment.TINYMQ_PORT || undefined);
  if (host === undefined && port === undefined) return null;
  return {
    host: host ?? DEFAULT_HOST,
    port: parseCount("port", port, DEFAULT_PORT, { least: 1, most: 65_535 }),
    tls: args.tls ?? false,
  };
}

/** How the server that wrote `record` is reached from this machine. */
export function targetOf(record: ServerRecord, tokenFile?: string, environment = process.env): Target {
  return {
    host: reachableHost(record.host),
    port: record.port,
    tls: record.tls,
    token: readToken(tokenFile, environment, record.tokenFile),
    own: true,
  };
}

/** The live server of the state folder, or null. Makes nothing. */
export function runningServer(): ServerRecord | null {
  const folder = stateFolder();
  return checkStateFolder(folder) ? new PidFile(join(folder, PID_FILE)).holder() : null;
}

/** Nobody can connect to "all addresses". */
function reachableHost(host: string): string {
  if (host === "0.0.0.0") return "127.0.0.1";
  return host === "::" ? "::1" : host;
}

/** A file comes before TINYMQ_TOKEN, as for the server; and a server knows best which file is its own. */
function readToken(tokenFile: string | undefined, environment: NodeJS.ProcessEnv, ofServer: string): string {
  const file = tokenFile ?? (environment.TINYMQ_TOKEN_FILE || ofServer);
  return file === "" ? (environment.TINYMQ_TOKEN ?? "") : readFileSync(file, "utf8").split("\n")[0]!.trim();
}
