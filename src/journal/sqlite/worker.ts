/** The thread that a SQLite journal blocks: answers requests one after the other, in their order. */
import { TinyMQError, toTinyMQError } from "../../errors.ts";
import { type Numbered, Store, type Sync } from "./store.ts";

export type Request =
  | { readonly kind: "open"; readonly path: string; readonly sync: Sync }
  | { readonly kind: "read"; readonly from: number }
  | { readonly kind: "write"; readonly record: Uint8Array; readonly number: number }
  | { readonly kind: "trim"; readonly below: number }
  | { readonly kind: "close" };

export interface Answer {
  /** Of a "read". */
  readonly records: readonly Numbered[];
  readonly first: number;
  readonly next: number;
  readonly bytes: number;
  /** Null: it was done. */
  readonly error: { readonly code: TinyMQError["code"]; readonly message: string } | null;
}

let store: Store | null = null;

self.onmessage = ({ data }: MessageEvent<Request>) => {
  let records: Numbered[] = [];
  let error: Answer["error"] = null;
  try {
    records = carryOut(data);
  } catch (thrown) {
    const { code, message } = toTinyMQError(thrown);
    error = { code, message };
  }
  const { first, next, bytes } = store ?? { first: 1, next: 1, bytes: 0 };
  postMessage({ records, first, next, bytes, error } satisfies Answer);
};

function carryOut(request: Request): Numbered[] {
  if (request.kind === "open") {
    store = new Store(request.path, request.sync);
    return [];
  }
  if (store === null) throw new TinyMQError("INTERNAL", "the journal is not open");
  switch (request.kind) {
    case "read":
      return store.read(request.from);
    case "write":
      store.write(request.record, request.number);
      return [];
    case "trim":
      store.trim(request.below);
      return [];
    case "close":
      store.close();
      store = null;
      return [];
  }
}
