/**
 * A consumer's side of the Consume protocol: what was delivered, handed out, settled and given back. What is
 * asked for is `Demand`'s. It knows nothing of bodies.
 *
 * Always holds: nobody waits while the inbox has messages; positions, pulls and inbox are of the current
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
import { deadConnection, protocolError, unexpectedAnswer } from "./close-error.ts";
import { Connection, type ConnectionOwner } from "./connection.ts";
import { Demand } from "./demand.ts";
import { decodeFrame, encodeFrame } from "./frame-codec.ts";
import { Inbox } from "./inbox.ts";
import { type ConnectionSettings, randomId } from "./options.ts";
import type { Positions } from "./positions.ts";
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
  readonly #consumerId = randomId();
  readonly #settlements: Settlements;
  /** Rewinds without an answer: what is delivered until then was sent before, and is discarded. */
  #rewinding = 0;

  /** `prefetch`: maximum unsettled messages held by the consumer. */
  constructor(settings: ConnectionSettings, mode: ConsumeMode, prefetch: number) {
    const { clock } = settings;
    this.#settings = settings;
    this.#mode = mode;
    this.connection = new Connection(settings, this);
    this.#settlements = new Settlements(this.connection, clock);
    this.demand = new Demand(this.connection, this.#settlements, clock, prefetch);
  }

  /** What the current stream delivered, and what became of it. */
  get positions(): Positions {
    return this.#settlements.positions;
  }

  /** Steps the inbox to the next message, unless others wait or none is there. Throws DATA_LOSS. */
  take(): boolean {
    if (this.demand.waiting || !this.#step()) return false;
    this.demand.taken(this.inbox.length);
    return true;
  }

  /** `position` is done. A second time, or on a stream that ended, nothing happens. */
  done(positions: Positions, position: number): void {
    const { demand } = this;
    const wasFull = demand.isFull;
    this.#settlements.done(positions, position);
    // A loop that held all it may have asks for more as soon as it may.
    if (wasFull && demand.loops > 0) demand.ask();
  }

  /** Everything that was handed out is done. */
  doneAll(): void {
    this.#settlements.doneAll();
    if (this.demand.loops > 0) this.demand.ask();
  }

  /** Gives `position` back: it is delivered again, after `delayMs`. */
  retry(positions: Positions, position: number, reason: string, delayMs: number): void {
    if (positions.ended || positions.isSettled(position)) return;
    const shared = this.#mode === ConsumeMode.SHARED;
    // Order counts, unless the program works on a later message already: it must not lose that one.
    if (shared || positions.hasUnsettled(position + 1, positions.handed)) {
      this.#settlements.settle(position, Outcome.RETRY, reason, delayMs);
      return;
    }
    this.flush();
    positions.settled(position, positions.end);
    positions.handed = positions.end;
    this.inbox.clear();
    this.#rewinding += 1;
    const rewind = { position, reason, delayMs };
    this.connection.send(encodeFrame(ConsumeRequest, { kind: { oneofKind: "rewind", rewind } }));
  }

  /** Sends `position` to the dead-letter topic. */
  reject(positions: Positions, position: number, reason: string): void {
    if (positions.ended || positions.isSettled(position)) return;
    this.#settlements.settle(position, Outcome.REJECT, reason, 0);
  }

  /** Sends what is acknowledged, now. */
  flush(): void {
    this.#settlements.flush();
  }

  /** Nothing more will come: who waits fails with `error`. */
  fail(error: TinyMQError): void {
    this.interrupted();
    this.#settlements.stop();
    this.demand.fail(error);
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
    // Not before the state says whether it holds the lock.
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
      case "rewound":
        if (this.#rewinding === 0) throw protocolError("a rewind was answered that nobody asked for");
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
    this.flush();
  }

  /** The stream is gone, and all that it delivered with it. */
  interrupted(): void {
    this.#settlements.reset();
    this.demand.reset();
    this.inbox.clear();
    this.#rewinding = 0;
  }

  ended(error: TinyMQError): void {
    this.fail(deadConnection(error));
  }

  #delivered(delivery: Delivered): void {
    const { positions } = this;
    let count = 0;
    for (const run of delivery.runs) count += run.count;
    const discarded = this.#rewinding > 0;
    this.demand.delivered(delivery.pullId, count, discarded);
    const first = delivery.firstPosition;
    if (count === 0) throw protocolError("a delivery without messages");
    if (first < positions.end) throw protocolError(`position ${first} was used before`);
    const end = first + count;
    positions.settled(positions.end, first);
    positions.end = end;
    if (discarded) {
      positions.settled(first, end);
      positions.handed = end;
    } else {
      this.inbox.push(delivery, count);
    }
    while (this.demand.waiting && this.#step()) this.#hand();
  }

  /** Hands the message that the inbox stands on to whose turn it is. */
  #hand(): void {
    const waiter = this.demand.next()!;
    try {
      waiter.take();
    } catch (thrown) {
      waiter.fail(thrown);
    }
  }

  #step(): boolean {
    try {
      if (!this.inbox.next()) return false;
    } catch (thrown) {
      // What follows a delivery that cannot be read cannot be trusted either.
      const error = toTinyMQError(thrown);
      this.connection.fail(error);
      throw error;
    }
    this.positions.handed = this.inbox.position + 1;
    return true;
  }
}
