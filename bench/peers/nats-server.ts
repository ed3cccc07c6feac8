/** A nats-server of our own, with or without JetStream. */
import { freePort, HOST, ServerProcess, temporaryFolder } from "../harness/server-process.ts";
import type { RunningServer } from "../harness/subject.ts";
import { debianProgram, type Found } from "./debian.ts";

export function findNats(): Promise<Found> {
  return debianProgram(["nats-server", "--version"], "nats-server");
}

export async function startNats(jetstream: boolean): Promise<RunningServer> {
  const port = await freePort();
  const folder = temporaryFolder();
  const more = jetstream ? ["-js", "-sd", folder.path] : [];
  const server = new ServerProcess(["nats-server", "-a", HOST, "-p", String(port), ...more]);
  await server.listens(port);
  return {
    port,
    pids: [server.pid],
    command: `nats-server -a ${HOST} -p PORT${jetstream ? " -js -sd FOLDER" : ""}`,
    async stop() {
      await server.stop();
      folder.remove();
    },
  };
}
