/** Which server a command talks to, and how. */
import { homedir } from "node:os";
import { isAbsolute, join, resolve } from "node:path";
import { isLocal } from "../src/client/close-error.ts";
import { TinyMQError } from "../src/errors.ts";
import type { ConnectionOptions } from "../src/index.ts";
import { readToken, requireToken } from "../src/server/auth/token.ts";
import { resolveOptions } from "../src/server/index.ts";
import { asUsage, parseValue } from "./command.ts";
import { PidFile } from "./daemon/pid-file.ts";
import type { ServerRecord } from "./daemon/server-record.ts";
import { checkStateFolder, PID_FILE } from "./daemon/state-folder.ts";

/** Where a server is, and how it is talked to. */
export interface Target {
  host: string;
  port: number;
  tls: boolean;
  /** "": none. */
  token: string;
  /** The server of this user's state folder: its certificate is not checked. */
  own: boolean;
}

const { host: DEFAULT_HOST, port: DEFAULT_PORT } = resolveOptions();
const PORT = { name: "port", kind: "count", least: 1, most: 65_535 } as const;

/** The options that every client command has. */
export const TARGET_ARGUMENTS = {
  host: {
    type: "string",
    valueHint: "HOST",
    description: `the server's address (that of the running server, or ${DEFAULT_HOST})`,
  },
  port: {
    type: "string",
    valueHint: "NUMBER",
    description: `the server's port (that of the running server, or ${DEFAULT_PORT})`,
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

/** What the command line says, else the environment, else the running server, else localhost:9800. */
export function findTarget(args: TargetArguments, environment = process.env): Target {
  const named = namedTarget(args, environment);
  const record = named === null ? runningServer() : ownServer(named);
  if (record !== null)
    return { ...targetOf(record, args["token-file"], environment), ...named, tls: record.tls };
  const address = named ?? { host: DEFAULT_HOST, port: DEFAULT_PORT, tls: args.tls ?? false };
  return { ...address, token: findToken(args["token-file"], environment, ""), own: false };
}

/** The server that the command line or the environment names; null if they name none. */
export function namedTarget(
  args: TargetArguments,
  environment = process.env,
): Pick<Target, "host" | "port" | "tls"> | null {
  const host = args.host ?? (environment.TINYMQ_HOST || undefined);
  const port = args.port ?? (environment.TINYMQ_PORT || undefined);
  const portName = args.port === undefined ? "TINYMQ_PORT" : "--port";
  if (host === undefined && port === undefined) return null;
  return {
    host: host ?? DEFAULT_HOST,
    port: port === undefined ? DEFAULT_PORT : (parseValue(PORT, port, portName) as number),
    tls: args.tls ?? false,
  };
}

/** How the server that wrote `record` is reached from this machine. */
export function targetOf(record: ServerRecord, tokenFile?: string, environment = process.env): Target {
  return {
    host: reachableHost(record.host),
    port: record.port,
    tls: record.tls,
    token: findToken(tokenFile, environment, record.tokenFile),
    own: true,
  };
}

/** How the client connects to `target`. */
export function clientOptions({ tls, own, token }: Target): Pick<ConnectionOptions, "token" | "tls"> {
  // The own server's certificate names the host that others use; its PID file proves who it is.
  return { token, tls: tls && own ? { rejectUnauthorized: false } : tls };
}

/** Where the folder is: $TINYMQ_HOME, else $XDG_STATE_HOME/tinymq, else ~/.local/state/tinymq. */
export function stateFolder(environment: Record<string, string | undefined> = process.env): string {
  if (environment.TINYMQ_HOME) return resolve(environment.TINYMQ_HOME);
  const xdg = environment.XDG_STATE_HOME;
  // A relative one is to be ignored (source: XDG Base Directory Specification).
  if (xdg && isAbsolute(xdg)) return join(xdg, "tinymq");
  return join(environment.HOME || homedir(), ".local", "state", "tinymq");
}

/** The live server of the state folder, or null. Makes no folder. */
export function runningServer(): ServerRecord | null {
  const folder = stateFolder();
  return checkStateFolder(folder) ? new PidFile(join(folder, PID_FILE)).holder() : null;
}

/** The live server of the state folder, if it is the one that is named; else null. */
function ownServer({ host, port }: Pick<Target, "host" | "port">): ServerRecord | null {
  if (!isLocal(host)) return null;
  try {
    const record = runningServer();
    return record?.port === port && isLocal(reachableHost(record.host)) ? record : null;
  } catch (error) {
    // Whoever names a server can do without a state folder.
    if (error instanceof TinyMQError) return null;
    throw error;
  }
}

/** No client can connect to "all addresses". */
function reachableHost(host: string): string {
  if (host === "0.0.0.0") return "127.0.0.1";
  return host === "::" ? "::1" : host;
}

/**
 * What is given comes first, a file before TINYMQ_TOKEN, as for the server; `ofServer` is the file that the server of
 * the state folder itself names.
 */
function findToken(tokenFile: string | undefined, environment: NodeJS.ProcessEnv, ofServer: string): string {
  const file = tokenFile ?? (environment.TINYMQ_TOKEN_FILE || "");
  const token = environment.TINYMQ_TOKEN ?? "";
  if (file === "" && token === "") return ofServer === "" ? "" : readToken(ofServer);
  return asUsage(() => (file === "" ? requireToken(token, "TINYMQ_TOKEN") : readToken(file)));
}
