import type { Results } from "../results.ts";
export function writeDocs(_results: Results): void {}
