/**
 * Runs one server, in the background or not: one per state folder, a PID file once it listens, a graceful stop on
 * a signal, and no PID file afterwards.
 */
import { existsSync, unlinkSync, utimesSync, writeFileSync } from "node:fs";
import { messageOf, TinyMQError } from "../../src/errors.ts";
import { type Logger, type ServerOptions, type ServerParts, TinyMQServer } from "../../src/server/index.ts";
import { createLineLogger, type LogFormat, type LogLevel } from "./line-logger.ts";
import { PidFile } from "./pid-file.ts";
import { identifyThisProcess } from "./process-identity.ts";
import { alreadyRunning, type ServerRecord } from "./server-record.ts";
import { watchSignals } from "./signals.ts";
import { makeStateFolder, PID_FILE, STARTING_FILE, STOP_ERROR_FILE } from "./state-folder.ts";

/** What `start` passes to the server's process. Every path is absolute. */
export interface Handover {
  folder: string;
  version: string;
  options: ServerOptions;
  logLevel: LogLevel;
  logFormat: LogFormat;
  /** The file that standard error goes to; "" in the foreground. */
  log: string;
}

/** The part of a server that is used here; tests have others. */
type Server = Pick<TinyMQServer, "host" | "port" | "addresses" | "start" | "stop">;

/** How long to wait for another process that is starting a server, in ms. */
const OTHER_START_MS = 60_000;

/**
 * Serves until a signal comes. `onReady` gets the PID file's content once the server can be reached.
 * Throws ALREADY_EXISTS if the folder has a server, and what the server throws when it cannot start.
 */
export async function serve(
  handover: Handover,
  onReady: (record: ServerRecord) => void = () => {},
  makeServer = (options: ServerOptions & ServerParts): Server => new TinyMQServer(options),
): Promise<void> {
  const background = handover.log !== "";
  const logger = createLineLogger({
    level: handover.logLevel,
    format: handover.logFormat,
    file: handover.log,
  });
  makeStateFolder(handover.folder);
  const pidFile = new PidFile(`${handover.folder}/${PID_FILE}`);
  const own = makeRecord(handover);
  // A server in the background has no terminal: a stray SIGHUP must not cost the messages.
  const signals = watchSignals(background ? ["SIGHUP"] : [], () => pidFile.release(own));
  const stopLogging = logUnexpectedErrors(logger);
  try {
    const server = makeServer({
      ...handover.options,
      logger,
      onSnapshotProgress: () => showProgress(pidFile.path, logger),
    });
    await startAlone(handover.folder, own, server, pidFile, (record) => {
      logger.info(`tinyMQ ${record.version} is ready, pid ${record.pid}`);
      onReady(record);
    });
    logger.info(`received ${await signals.first}`);
    await stopServer(server, `${handover.folder}/${STOP_ERROR_FILE}`, logger);
  } finally {
    pidFile.release(own);
    signals.dispose();
    stopLogging();
  }
}

/** Starts the server, writes the PID file and calls `onReady`, while no other process does so in this folder. */
async function startAlone(
  folder: string,
  own: ServerRecord,
  server: Server,
  pidFile: PidFile,
  onReady: (record: ServerRecord) => void,
): Promise<void> {
  const starting = new PidFile(`${folder}/${STARTING_FILE}`);
  await waitForTurn(own, starting, pidFile);
  try {
    await server.start();
    const record = { ...own, host: server.host, port: server.port, addresses: [...server.addresses] };
    const holder = pidFile.claim(record);
    if (holder === null) {
      const oldError = `${folder}/${STOP_ERROR_FILE}`;
      if (existsSync(oldError)) unlinkSync(oldError);
      onReady(record);
      return;
    }
    await server.stop();
    throw alreadyRunning(holder);
  } finally {
    starting.release(own);
  }
}

/**
 * Takes the starting file, before the server listens and restores a snapshot that another one might restore, too.
 */
async function waitForTurn(own: ServerRecord, starting: PidFile, pidFile: PidFile): Promise<void> {
  const deadline = Date.now() + OTHER_START_MS;
  while (true) {
    const other = starting.claim(own);
    if (other === null) break;
    const running = pidFile.holder();
    if (running !== null) throw alreadyRunning(running);
    if (Date.now() > deadline) {
      throw new TinyMQError("ALREADY_EXISTS", `tinyMQ is being started by another process, pid ${other.pid}`);
    }
    await Bun.sleep(10);
  }
  const running = pidFile.holder();
  if (running === null) return;
  starting.release(own);
  throw alreadyRunning(running);
}

function makeRecord(handover: Handover): ServerRecord {
  const { options } = handover;
  return {
    ...identifyThisProcess(),
    host: options.host ?? "",
    port: options.port ?? 0,
    addresses: [],
    tls: Boolean(options.tlsCert),
    tokenFile: options.tokenFile ?? "",
    version: handover.version,
    log: handover.log,
    startedAt: new Date().toISOString(),
  };
}

/** An error, for example that the snapshot cannot be written, is left in a file for `stop`. */
async function stopServer(server: Server, errorPath: string, logger: Logger): Promise<void> {
  try {
    await server.stop();
  } catch (error) {
    const message = messageOf(error);
    logger.error(`the stop failed: ${message}`);
    writeFileSync(errorPath, message, { mode: 0o600 });
    throw error;
  }
}

/** Shows a waiting `stop`, which looks at the time of the PID file, that the server still makes progress. */
function showProgress(path: string, logger: Logger): void {
  const now = new Date();
  try {
    utimesSync(path, now, now);
  } catch (error) {
    logger.debug(`cannot touch the PID file: ${String(error)}`);
  }
}

/** Keeps the server running after an error that nothing handles, which would cost all messages: it is logged. */
function logUnexpectedErrors(logger: Logger): () => void {
  const log = (error: unknown): void => {
    logger.error(`unexpected: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`);
  };
  process.on("uncaughtException", log);
  process.on("unhandledRejection", log);
  return () => {
    process.off("uncaughtException", log);
    process.off("unhandledRejection", log);
  };
}
