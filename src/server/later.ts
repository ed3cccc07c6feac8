/**
 * What a server needs only once somebody comes, or for a snapshot. Nothing here is loaded before it is
 * asked for: a server that waits costs little more than Bun itself, and is ready sooner.
 *
 * The program `daemon` is built with another module of these exports in place of this one, which holds the
 * code as packed text: cli/build-daemon.ts.
 */

export const loadCore = () => import("./core.ts");

export const loadSnapshotFile = () => import("./snapshot-file.ts");
