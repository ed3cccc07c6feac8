/** Whether a peer's server is installed, and how to install it if not. */
import { versionOf } from "../harness/server-process.ts";

export type Found = { version: string } | { missing: string };

/** A server from a Debian package; `command` prints its version. */
export async function debianProgram(command: readonly string[], debianPackage: string): Promise<Found> {
  const version = await versionOf(command);
  return version === undefined ? { missing: `apt-get install ${debianPackage}` } : { version };
}
