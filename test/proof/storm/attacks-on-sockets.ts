/** Attacks below the protocol: who does not read, does not open, does not finish, or sends a byte at a time. */
import { frame, frameHead, Intruder } from "../../server/intruder.ts";
import { type Arena, type Attack, pause, rounds, together } from "./arena.ts";
import { batchOf, HostileProducer, subscribeFrame } from "./hostile-clients.ts";

const OPCODE = { more: 0, binary: 2, ping: 9 };
const FIN = 0x80;
const MiB = 1_048_576;
const PATH = "/tinymq.v1.TinyMQ/";
/** `open` of the topic "pings". */
const OPEN = Uint8Array.from([0x0a, 7, 0x0a, 5, ...new TextEncoder().encode("pings")]);
/** `heartbeat` of a Produce stream. */
const HEARTBEAT = Uint8Array.of(0x1a, 0);

async function opened(arena: Arena, method: string, openFrame: Uint8Array): Promise<Intruder> {
  const intruder = await Intruder.upgraded(arena.port, `${PATH}${method}`);
  const before = intruder.received.length;
  await intruder.write(frame(OPCODE.binary, openFrame));
  while (arena.isOn && !intruder.ended && intruder.received.length === before) await Bun.sleep(2);
  return intruder;
}

/**
 * Between two bursts of a flood, in ms. As fast as it goes, a flood of the smallest frames takes the whole processor,
 * as any other work does: how it is shared out is not promised, and not what these attacks are for.
 */
const BETWEEN_BURSTS = 100;

/** Pings are answered by pongs, which nobody reads. */
const pings = rounds(async (arena) => {
  const flood = Buffer.concat(Array.from({ length: 1_000 }, () => frame(OPCODE.ping, new Uint8Array(125))));
  await together(10, async () => {
    const intruder = await opened(arena, "Produce", OPEN);
    intruder.freeze();
    for (let sent = 0; sent < 100 && arena.isOn && !intruder.ended; sent++) {
      // What the server does not take any more is left.
      await Promise.race([intruder.write(flood), Bun.sleep(100)]);
      arena.count("pings", 1_000);
      await pause(arena, BETWEEN_BURSTS);
    }
    intruder.cut();
  });
});

/** The smallest frames, which mean nothing. */
const heartbeats = rounds(async (arena) => {
  const flood = Buffer.concat(Array.from({ length: 1_000 }, () => frame(OPCODE.binary, HEARTBEAT)));
  await together(10, async () => {
    const intruder = await opened(arena, "Produce", OPEN);
    for (let sent = 0; sent < 100 && arena.isOn && !intruder.ended; sent++) {
      await intruder.write(flood);
      arena.count("heartbeats", 1_000);
      await pause(arena, BETWEEN_BURSTS);
    }
    intruder.cut();
  });
});

/** Subscribers that never read, while much is published to all of them. */
const deafSubscribers = rounds(async (arena) => {
  const subscribers = await Promise.all(
    Array.from({ length: 30 }, () => opened(arena, "Subscribe", subscribeFrame("deaf"))),
  );
  for (const each of subscribers) each.freeze();
  arena.count("subscribers", subscribers.length);
  const producer = await HostileProducer.open(arena, "deaf");
  for (let sent = 0; sent < arena.size(2_000) && arena.isOn; sent++) {
    await producer.send(batchOf(sent, 4, 8_000), 4, { ttlMs: 50 });
    await producer.answered();
  }
  arena.count("published", producer.acknowledged);
  producer.stream.close();
  for (const each of subscribers) each.cut();
});

/** First frames that are large, or never whole, and handshakes behind which nothing comes. */
const beforeOpening = rounds(async (arena) => {
  const large = frame(OPCODE.binary, new Uint8Array(MiB));
  const part = Buffer.concat([frameHead(OPCODE.binary, 1_115_136), new Uint8Array(1_115_135)]);
  await together(arena.size(150), async (which) => {
    const intruder = await Intruder.upgraded(arena.port, `${PATH}Consume`, "tinymq.v1", which % 3 === 0);
    if (which % 3 !== 2) void intruder.write(which % 3 === 0 ? large : part);
    arena.count(["large first frames", "unfinished first frames", "silent WebSockets"][which % 3]!);
    await pause(arena, 3_000);
    intruder.cut();
  });
});

/** Unary bodies whose last byte never comes, and connections that say nothing. */
const unfinishedBodies = rounds(async (arena) => {
  const head = [
    "POST /twirp/tinymq.v1.Admin/GetStatus HTTP/1.1",
    `Host: 127.0.0.1:${arena.port}`,
    "Content-Type: application/json",
    `Content-Length: ${MiB}`,
  ];
  await together(200, async (which) => {
    const silent = which % 2 === 1;
    const intruder = await Intruder.open(arena.port, silent ? "" : `${head.join("\r\n")}\r\n\r\n`);
    if (!silent) void intruder.write(new Uint8Array(MiB - 1).fill(32));
    arena.count(silent ? "silent connections" : "unfinished bodies");
    await pause(arena, 4_000);
    intruder.cut();
  });
});

/** A frame in parts of a byte each, and frames whose bytes come one at a time. */
const byteByByte = rounds(async (arena) => {
  await together(10, async (which) => {
    const intruder = await opened(arena, "Produce", OPEN);
    const inParts = parts(1_000);
    for (let sent = 0; sent < 200 && arena.isOn && !intruder.ended; sent++) {
      if (which % 2 === 0) {
        await intruder.write(inParts);
        arena.count("parts", 1_000);
        continue;
      }
      for (const byte of frame(OPCODE.binary, HEARTBEAT)) await intruder.write(Uint8Array.of(byte));
      arena.count("single bytes");
    }
    intruder.cut();
  });
});

/** A heartbeat with a field that nobody knows, as a frame in so many parts. */
function parts(many: number): Buffer {
  // Field 15 of wire type 2 has all the rest.
  const rest = many - 5;
  const payload = Buffer.concat([HEARTBEAT, Uint8Array.of(0x7a, 0x80 | (rest & 127), rest >> 7)]);
  const whole = Buffer.concat([payload, new Uint8Array(rest)]);
  const all = Array.from(whole, (byte, at) => {
    const one = frame(at === 0 ? OPCODE.binary : OPCODE.more, Uint8Array.of(byte));
    one[0] = (at === whole.length - 1 ? FIN : 0) | (at === 0 ? OPCODE.binary : OPCODE.more);
    return one;
  });
  return Buffer.concat(all);
}

/** Opened streams each hold a frame that never ends. */
const unfinishedFrames = rounds(async (arena) => {
  const part = Buffer.concat([frameHead(OPCODE.binary, MiB), new Uint8Array(MiB / 2)]);
  await together(20, async () => {
    const intruder = await opened(arena, "Produce", OPEN);
    void intruder.write(part);
    arena.count("unfinished frames");
    await pause(arena, 5_000);
    intruder.cut();
  });
});

export const ON_SOCKETS = {
  pings,
  heartbeats,
  deafSubscribers,
  beforeOpening,
  unfinishedBodies,
  byteByByte,
  unfinishedFrames,
} satisfies Record<string, Attack>;
