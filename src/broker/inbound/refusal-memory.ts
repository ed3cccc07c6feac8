/** What refusals take that are remembered, of all producers together: it is bounded, and nobody is hit who has few. */
import { beyondMemory } from "../broker-limits.ts";
import type { Shared } from "../topic-host.ts";

/** A producer's refusals may take so many bytes, whatever those of others take. */
const LEAST_BYTES = 1_024;

/**
 * What the refusals of one producer may take now, in bytes: all that it wants while there is room; else what those that
 * take more than the least share equally. Since these become more, nobody gets more than the least at twice as much.
 */
export function mostRemembered({ noted, limits }: Shared): number {
  const most = beyondMemory(limits.maxMemory);
  if (noted.refusalBytes <= most) return Number.POSITIVE_INFINITY;
  if (noted.refusalBytes > 2 * most) return LEAST_BYTES;
  return Math.max(LEAST_BYTES, most / noted.refusers);
}

/** The refusals of one producer, which took `before` bytes, take `after`. */
export function countRefusals({ noted }: Shared, before: number, after: number): void {
  noted.refusalBytes += after - before;
  noted.refusers += Number(after > LEAST_BYTES) - Number(before > LEAST_BYTES);
}
