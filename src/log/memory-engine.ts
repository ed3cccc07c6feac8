/** The engine in memory: logs on slabs, and locks that are always ours, there being one server. */
import { MiB } from "../wire/limits.ts";
import type { Engine, Lock, Log } from "./engine.ts";
import { MemoryLog } from "./log.ts";
import { SlabPool } from "./slab-pool.ts";

/** Kept for the next slabs, whatever the topics: what a busy queue needs to go round. */
const SPARE_BYTES = 4 * MiB;

const ALWAYS_OURS: Lock = {
  acquire: () => true,
  release() {},
};

export class MemoryEngine implements Engine {
  readonly name = "memory";
  readonly #pool: SlabPool;

  constructor(spareBytes = SPARE_BYTES) {
    this.#pool = new SlabPool(spareBytes);
  }

  openLog(_topic: string): Log {
    return new MemoryLog(this.#pool);
  }

  openLock(_topic: string): Lock {
    return ALWAYS_OURS;
  }

  close(): void {
    this.#pool.clear();
  }
}
