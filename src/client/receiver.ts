/**
 * The consumer's side of the Consume protocol: what was delivered, handed out, settled and given back. `Demand`
 * decides what to pull. It knows nothing of codecs.
 *
 * Always holds: nothing waits while the inbox has messages; positions, pulls and inbox are those of the current
 * stream.
 */
import { type TinyMQError, toTinyMQError } from "../errors.ts";
import {
  ConsumeMode,
  ConsumeRequest,
  ConsumeResponse,
  type Delivered,
  type Limits,
  Outcome,
} from "../gen/tinymq/v1/queue.ts";
import { LONGEST_HOLD_MS, MAX_REASON_BYTES } from "../wire/limits.ts";
import { truncateUtf8 } from "../wire/text.ts";
import { invalid } from "./check.ts";
import { deadConnection, protocolError, unexpectedAnswer } from "./close-error.ts";
import { Connection, type ConnectionOwner } from "./connection.ts";
import { Demand, type Prefetch } from "./demand.ts";
import { decodeFrame, encodeFrame } from "./frame-codec.ts";
import { Inbox } from "./inbox.ts";
import type { Positions } from "./positions.ts";
import { type ConnectionSettings, randomId } from "./settings.ts";
import { Settlements } from "./settlements.ts";

export class Receiver implements ConnectionOwner {
  readonly method = "Consume";
  readonly heartbeat = encodeFrame(ConsumeRequest, { kind: { oneofKind: "heartbeat", heartbeat: {} } });
  readonly finish = encodeFrame(ConsumeRequest, { kind: { oneofKind: "finish", finish: {} } });
  readonly connection: Connection;
  readonly demand: Demand;
  readonly inbox = new Inbox();
  readonly #settings: ConnectionSettings;
  readonly #mode: ConsumeMode;
  readonly #decode: () => string | undefined;
  readonly #consumerId = randomId();
  readonly #settlements: Settlements;
  /** Rewinds without an answer; deliveries that arrive before it were sent earlier and are discarded. */
  #rewinding = 0;
  /** Called after each settlement and end of a loop, while the consumer stops. */
  onProgress: (() => void) | undefined;

  /** `decode` decodes the inbox's current message; if it returns a reason why not, the message is rejected. */
  constructor(
    settings: ConnectionSettings,
    mode: ConsumeMode,
    prefetch: Prefetch,
    decode: () => string | undefined,
  ) {
    const { clock } = settings;
    this.#settings = settings;
    this.#mode = mode;
    this.#decode = decode;
    this.connection = new Connection(settings, this);
    this.#settlements = new Settlements(this.connection, clock);
    this.demand = new Demand(this.connection, this.#settlements, this.inbox, clock, prefetch);
  }

  /** What the current stream delivered, and what became of it. */
  get positions(): Positions {
    return this.#settlements.positions;
  }

  /** Moves the inbox to the next message; false if there is none, or others wait for it. Throws DATA_LOSS. */
  take(): boolean {
    const { demand } = this;
    demand.window?.asked(this.inbox.length);
    const taken = !demand.waiting && this.#step();
    demand.ask();
    return taken;
  }

  /** Acknowledges `position`. Can be called twice. If its stream has ended, the next `flush()` rejects. */
  done(positions: Positions, position: number): void {
    this.#settlements.done(positions, position);
    this.#settled();
  }

  /** `done` for callers that call `take` next, which then sends the pulls that there is room for. */
  doneBeforeTake(positions: Positions, position: number): void {
    this.#settlements.done(positions, position);
  }

  /** Acknowledges everything that was handed out. */
  doneAll(): void {
    this.#settlements.doneAll();
    this.#settled();
  }

  /** Gives `position` back: it is redelivered after `delayMs`. */
  retry(positions: Positions, position: number, reason: string, delayMs: number): void {
    const shared = this.#mode === ConsumeMode.SHARED;
    if (!shared && delayMs > LONGEST_HOLD_MS) {
      throw invalid(
        "a retry in order holds the topic back, so its delay is at most 24 h; in shared mode it may be longer",
      );
    }
    if (positions.ended || positions.isSettled(position)) return;
    const kept = truncateUtf8(reason, MAX_REASON_BYTES);
    // A rewind keeps the order, but would also take back later messages that the program is working on.
    if (shared || positions.hasUnsettled(position + 1, positions.handed)) {
      this.#settlements.settle(position, Outcome.RETRY, kept, delayMs);
    } else {
      this.#rewind(positions, position, kept, delayMs);
    }
    this.#settled();
  }

  /** Sends `position` to the dead-letter topic. */
  reject(positions: Positions, position: number, reason: string): void {
    if (positions.ended) return this.#settlements.late(positions, position);
    if (positions.isSettled(position)) return;
    this.#settlements.settle(position, Outcome.REJECT, truncateUtf8(reason, MAX_REASON_BYTES), 0);
    this.#settled();
  }

  /** Sends pending acknowledgements now. */
  tell(): void {
    this.#settlements.tell();
  }

  /** Sends pending acknowledgements; resolves when they are confirmed. Rejects with `OutcomeUnknown`. */
  flush(): Promise<void> {
    return this.#settlements.flush();
  }

  /** Earlier streams' unconfirmed acknowledgements make no `flush()` reject any more. */
  forgetLosses(): void {
    this.#settlements.forgetLosses();
  }

  /** Fails all waiters with `error`, since nothing more will arrive. */
  fail(error: TinyMQError): void {
    this.interrupted();
    this.#settlements.stop();
    this.demand.fail(error);
  }

  /** The program closes the connection; `closed` resolves when that is done. */
  leave(closed: Promise<void>): void {
    this.#settlements.leave(closed);
  }

  openFrame(): Uint8Array<ArrayBuffer> {
    const { topic, token } = this.#settings;
    const open = { topic, token, mode: this.#mode, consumerId: this.#consumerId };
    return encodeFrame(ConsumeRequest, { kind: { oneofKind: "open", open } });
  }

  opened(frame: Uint8Array): { limits: Limits | undefined; state: "open" | "standby" } {
    const { kind } = decodeFrame(ConsumeResponse, frame);
    if (kind.oneofKind !== "opened") throw unexpectedAnswer(kind.oneofKind);
    const { limits, holder } = kind.opened;
    // Later, when the connection's state says whether this consumer holds the lock.
    queueMicrotask(() => this.demand.resume(limits?.maxInFlight ?? 0));
    return { limits, state: holder ? "open" : "standby" };
  }

  /** Throws INTERNAL or DATA_LOSS where the server breaks the protocol. */
  receive(frame: Uint8Array): void {
    const { kind } = decodeFrame(ConsumeResponse, frame);
    switch (kind.oneofKind) {
      case "delivered":
        this.#delivered(kind.delivered);
        break;
      case "empty":
        this.demand.empty(kind.empty.pullId, this.#rewinding > 0);
        break;
      case "settled":
        return this.#settlements.confirmed(kind.settled.count);
      case "rewound":
        if (this.#rewinding === 0) throw protocolError("a rewind was answered that was not sent");
        this.#rewinding -= 1;
        break;
      case "promoted":
        this.connection.promoted();
        break;
      case "heartbeat":
        return;
      default:
        throw unexpectedAnswer(kind.oneofKind);
    }
    this.demand.ask();
  }

  leaving(): void {
    this.tell();
  }

  /** The stream is gone: forgets everything that it delivered. */
  interrupted(): void {
    this.#settlements.reset();
    this.demand.reset();
    this.inbox.clear();
    this.#rewinding = 0;
    this.onProgress?.();
  }

  ended(error: TinyMQError): void {
    this.fail(deadConnection(error));
  }

  #rewind(positions: Positions, position: number, reason: string, delayMs: number): void {
    this.tell();
    positions.gone(position, positions.end);
    positions.handed = positions.end;
    this.inbox.clear();
    this.#rewinding += 1;
    const rewind = { position, reason, delayMs };
    this.connection.send(encodeFrame(ConsumeRequest, { kind: { oneofKind: "rewind", rewind } }));
  }

  #settled(): void {
    this.demand.ask();
    this.onProgress?.();
  }

  #delivered(delivery: Delivered): void {
    const { positions } = this;
    let count = 0;
    for (const run of delivery.runs) count += run.count;
    const discarded = this.#rewinding > 0;
    this.demand.delivered(delivery.pullId, count, delivery.messages.length, discarded);
    const first = delivery.firstPosition;
    if (count === 0) throw protocolError("a delivery without messages");
    if (first !== positions.end) throw protocolError(`position ${first} arrived instead of ${positions.end}`);
    positions.received(first + count, delivery.messages.length);
    if (discarded) {
      positions.gone(first, positions.end);
      positions.handed = positions.end;
    } else {
      this.inbox.push(delivery, count);
    }
    while (this.demand.waiting && this.#step()) this.#hand();
    this.demand.handedOut(delivery.pullId);
  }

  /** Hands the inbox's current message to the oldest waiter. */
  #hand(): void {
    const waiter = this.demand.next()!;
    try {
      waiter.take();
    } catch (thrown) {
      // Its headers cannot be read: what follows cannot be trusted either.
      waiter.fail(thrown);
      throw thrown;
    }
  }

  /** Moves to the next message whose body can be decoded, and rejects those before it. */
  #step(): boolean {
    const { inbox, positions } = this;
    while (this.#read()) {
      positions.handed = inbox.position + 1;
      // Before decoding, which may be what crashes the program.
      this.#settlements.handed(inbox.redelivered);
      this.demand.window?.taken();
      const why = this.#decode();
      if (why === undefined) return true;
      this.reject(positions, inbox.position, why);
    }
    return false;
  }

  #read(): boolean {
    try {
      return this.inbox.next();
    } catch (thrown) {
      // What follows a delivery that cannot be read cannot be trusted either.
      const error = toTinyMQError(thrown);
      this.connection.fail(error);
      throw error;
    }
  }
}
