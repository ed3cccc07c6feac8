/**
 * The life of one server process, in the background or not: one server per state folder, a PID file once
 * it is bound, a graceful stop on a signal, and no PID file afterwards.
 */
import { existsSync, unlinkSync, utimesSync, writeFileSync } from "node:fs";
import { TinyMQError } from "../../src/errors.ts";
import { type Logger, type ServerOptions, type ServerParts, TinyMQServer } from "../../src/server/index.ts";
import { createLineLogger, type LogFormat, type LogLevel } from "./line-logger.ts";
import { PidFile } from "./pid-file.ts";
import { identifyThisProcess } from "./process-identity.ts";
import { alreadyRunning, type ServerRecord } from "./server-record.ts";
import { watchSignals } from "./signals.ts";
import { makeStateFolder, PID_FILE, STARTING_FILE, STOP_ERROR_FILE } from "./state-folder.ts";

/** What `start` hands to the process that is to serve. Every path is absolute. */
export interface Handover {
  folder: string;
  version: string;
  options: ServerOptions;
  logLevel: LogLevel;
  logFormat: LogFormat;
  /** The file that standard error goes to; "" in the foreground. */
  log: string;
}

/** What the tests put another server in place of. */
type Server = Pick<TinyMQServer, "host" | "port" | "addresses" | "start" | "stop">;

/** A start of another process that takes longer than this (ms) is not waited for. */
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
  // In the background nobody hangs up, and a stray SIGHUP must not cost the messages.
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
    logger.info(`ended by ${await signals.first}`);
    await stopServer(server, `${handover.folder}/${STOP_ERROR_FILE}`, logger);
  } finally {
    pidFile.release(own);
    signals.dispose();
    stopLogging();
  }
}

/**
 * Starts the server, writes the PID file and tells `onReady`, while no other process does the same in this
 * folder.
 */
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
    const started = server.start();
    // Most servers listen before they first wait. To wait just after `Bun.serve` takes Bun a millisecond.
    if (server.addresses.length === 0) await started;
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

/** Before the server binds, and takes a snapshot that another one might be just about to take. */
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

/** What goes wrong here, a snapshot that cannot be written for one, is left for `stop` to tell. */
async function stopServer(server: Server, errorPath: string, logger: Logger): Promise<void> {
  try {
    await server.stop();
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    logger.error(`the stop failed: ${message}`);
    writeFileSync(errorPath, message, { mode: 0o600 });
    throw error;
  }
}

/** Tells a waiting `stop` that the stop is getting on: it looks at the time of the PID file. */
function showProgress(path: string, logger: Logger): void {
  const now = new Date();
  try {
    utimesSync(path, now, now);
  } catch (error) {
    logger.debug(`no progress can be shown: ${String(error)}`);
  }
}

/**
 * A mistake in the handling of one connection must not cost everybody's messages: it is logged, and the
 * server goes on.
 */
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
