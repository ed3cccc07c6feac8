/** A connection that ends while frames of its client wait for their turn: what arrived is done, and nobody is blamed. */
import { expect, test } from "bun:test";
import type { ServerWebSocket } from "bun";
import { ConsumeRequest, ConsumeResponse } from "../../src/gen/tinymq/v1/queue.ts";
import { Admission } from "../../src/server/admission.ts";
import {
  type BunSocket,
  type ConnectionData,
  type ConnectionHandlers,
  connectionHandlers,
} from "../../src/server/bun-socket.ts";
import { Turns } from "../../src/server/frame-queue.ts";
import { streamSession } from "../../src/session/sessions.ts";
import { message, TestProducer } from "../support/clients.ts";
import { World } from "../support/world.ts";

const NONE = new Uint8Array(0);

/** A consumer of topic "t" at Bun's handlers, where each frame takes 12 ms, so that the next one waits. */
class Connection {
  readonly sent: ConsumeResponse["kind"][] = [];
  readonly connections = new Set<BunSocket>();
  readonly #handlers: ConnectionHandlers;
  readonly #socket: ServerWebSocket<ConnectionData>;
  #arranged: (() => void)[] = [];
  #isOpen = true;

  constructor(world: World) {
    const { context } = world;
    let now = 0;
    this.#handlers = connectionHandlers({
      context,
      admission: new Admission(context.broker.timers, 10, 10),
      connections: this.connections,
      turns: new Turns(
        () => (now += 12),
        (run) => this.#arranged.push(run),
      ),
    });
    const data: ConnectionData = {
      path: "/tinymq.v1.TinyMQ/Consume",
      open: streamSession,
      place: { takenAt: 0, evict: null },
      connection: null,
    };
    this.#socket = {
      data,
      binaryType: "uint8array",
      getBufferedAmount: () => 0,
      sendBinary: (frame: Uint8Array) => {
        if (!this.#isOpen) return 0;
        this.sent.push(ConsumeResponse.fromBinary(frame.slice()).kind);
        return frame.length;
      },
      close: () => this.end(1000),
      terminate: () => this.end(1006),
    } as unknown as ServerWebSocket<ConnectionData>;
    this.#handlers.open(this.#socket);
    this.receive({ oneofKind: "open", open: { topic: "t", token: "", mode: 2, consumerId: NONE } });
  }

  receive(kind: ConsumeRequest["kind"]): void {
    this.#handlers.message(this.#socket, ConsumeRequest.toBinary({ kind }));
  }

  pull(pullId: number): void {
    const pull = { pullId, maxMessages: 10, maxBytes: 0, waitMs: 0, settles: [] };
    this.receive({ oneofKind: "pull", pull });
  }

  /** The next turn of the event loop. */
  turn(): void {
    const arranged = this.#arranged;
    this.#arranged = [];
    for (const run of arranged) run();
  }

  end(code: number): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    this.#handlers.close(this.#socket, code);
  }
}

/** A consumer that holds five messages, all that there are, and whose next frames wait. */
function holding(world: World): Connection {
  new TestProducer(world, "t").send([1, 2, 3, 4, 5].map((id) => message(id, "x")));
  const connection = new Connection(world);
  connection.pull(1);
  connection.turn();
  expect(connection.sent.map(({ oneofKind }) => oneofKind)).toEqual(["opened", "delivered"]);
  return connection;
}

test("acknowledgements that waited when the client closed count, also behind a pull that nobody can answer", () => {
  const world = new World();
  const connection = holding(world);
  connection.pull(2);
  connection.receive({ oneofKind: "ack", ack: { count: 5 } });
  connection.receive({ oneofKind: "finish", finish: {} });
  const { tally, backlog } = world.broker.topics.get("t")!;
  expect(tally.counters.acked).toBe(0);
  connection.end(1000);
  for (let turn = 0; turn < 3; turn++) connection.turn();
  expect(tally.counters).toMatchObject({ acked: 5, redelivered: 0 });
  expect([backlog.log.count, backlog.leased]).toEqual([0, 0]);
  expect([world.misbehaviour, world.failures, connection.connections.size]).toEqual([[], [], 0]);
});

test("acknowledgements that waited when the server stopped count", () => {
  const world = new World();
  const connection = holding(world);
  connection.receive({ oneofKind: "ack", ack: { count: 3 } });
  for (const each of connection.connections) each.stop(1012, "the server is stopping");
  const { tally, backlog } = world.broker.topics.get("t")!;
  expect(tally.counters.acked).toBe(3);
  expect([backlog.log.count, backlog.leased, backlog.returned.count]).toEqual([2, 0, 2]);
});

test("a frame that waited and is wrong ends the stream, and what came behind it counts for nothing", () => {
  const world = new World();
  const connection = holding(world);
  connection.receive({ oneofKind: "ack", ack: { count: 6 } });
  connection.receive({ oneofKind: "ack", ack: { count: 5 } });
  connection.turn();
  const { tally, backlog } = world.broker.topics.get("t")!;
  expect(tally.counters.acked).toBe(0);
  expect(backlog.returned.count).toBe(5);
  expect(world.misbehaviour).toHaveLength(1);
  connection.turn();
});
