import { MemoryEngine } from "../../src/log/memory-engine.ts";
import { AsyncEngine } from "../support/async-engine.ts";
import { Random } from "../support/random.ts";
import { engineContract } from "./contract.ts";

engineContract("in memory", () => new MemoryEngine(), 400);
engineContract("in memory, without spare buffers", () => new MemoryEngine(0), 100);
engineContract("one that takes its time", () => new AsyncEngine(new Random(1)), 20);
