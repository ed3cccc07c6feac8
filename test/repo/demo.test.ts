/** `make demo` does what it says. */
import { expect, test } from "bun:test";
import { join } from "node:path";
import { run } from "./packed.ts";
import { ROOT } from "./sources.ts";

test("the demo passes every line of the repository through a topic, unchanged", async () => {
  const demo = await run(["bun", join(ROOT, "test/repo/demo.ts")], { cwd: ROOT });
  expect(demo).toMatchObject({ code: 0, stderr: "" });
  expect(demo.stdout).toMatch(/^[\d,]+ lines of \d+ files .* byte for byte the same\.\n$/);
});
