/** The package from the outside: packed, installed in an empty project, and used as README says. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdirSync, readdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { join, relative } from "node:path";
import * as errors from "../../src/errors.ts";
import * as server from "../../src/server/index.ts";
import { emptyProject, freePort, PACKAGE_TIMEOUT, packedPackage, run } from "./packed.ts";
import { renamedClasses, unreadable } from "./readable.ts";
import { ROOT } from "./sources.ts";

/** Bytes on disk that installing tmqserver may cost, with everything it depends on. */
const LARGEST_INSTALL = 3_100_000;

const TSC = join(ROOT, "node_modules/typescript/bin/tsc");

/** What a package of plain code consists of. */
const KINDS = /\.(?:js|d\.ts|sh|json|md|svg|proto|txt)$|^LICENSE$/;
/** The table of emoji that the library of progress bars brings is one line of 10 KB. */
function withoutEmoji(code: string): string {
  return code.replace(/(?<=node_modules\/emoji-regex\/index\.js\n[^/]*return )\/.*\/g;/, "null;");
}

/** The names of all classes of errors. */
const ERROR_CLASSES = Object.values(errors)
  .filter((value) => value === errors.TinyMQError || isSubclass(value))
  .map((value) => (value as { name: string }).name);

function isSubclass(value: unknown): boolean {
  return typeof value === "function" && value.prototype instanceof errors.TinyMQError;
}

const SEND = `
  import { Producer } from "tmqserver";
  const producer = new Producer("localhost", Number(process.argv[2]), "package-test");
  await producer.initConn();
  await producer.send("Hi", 1);
  await producer.close();
  console.log("sent");
`;
const RECEIVE = `
  import { Consumer } from "tmqserver";
  const consumer = new Consumer("localhost", Number(process.argv[2]), "package-test");
  await consumer.initConn();
  const message = await consumer.poll();
  console.log(JSON.stringify([message?.[0], message?.[1], await consumer.poll()]));
  await consumer.close();
`;
/** What a user writes, with the types that it must have. */
const TYPED = `
  import { Consumer, Producer, QueueFull, TinyMQError } from "tmqserver";
  import { TinyMQServer } from "tmqserver/server";

  const producer = new Producer("localhost", 9800, "orders");
  const consumer: Consumer<string> = new Consumer("localhost", 9800, "orders");
  await producer.initConn();
  try {
    await producer.send("Hi", 1);
  } catch (error) {
    if (error instanceof QueueFull) console.log(error.code satisfies string);
    if (!(error instanceof TinyMQError)) throw error;
  }
  const message = await consumer.poll();
  if (message !== null) {
    const [id, body] = message;
    id satisfies number;
    body satisfies string;
  }
  for await (const { id, body } of consumer) {
    id satisfies number;
    body satisfies string;
  }
  await producer.close();
  export const server: TinyMQServer = new TinyMQServer({ port: 0, maxMemory: "64MiB" });
`;

describe("package", () => {
  const project = emptyProject("bun-project");
  const env = { TINYMQ_HOME: project.state };
  let port = 0;

  const tmqserver = (...words: string[]) =>
    run(["bunx", "tmqserver", ...words], { cwd: project.folder, env });

  beforeAll(async () => {
    port = await freePort();
    const added = await run(["bun", "add", await packedPackage()], { cwd: project.folder });
    if (added.code !== 0) throw new Error(`bun add failed:\n${added.stderr}`);
    writeFileSync(join(project.folder, "send.ts"), SEND);
    writeFileSync(join(project.folder, "receive.ts"), RECEIVE);
    writeFileSync(join(project.folder, "send.mjs"), SEND);
    writeFileSync(join(project.folder, "receive.mjs"), RECEIVE);
  }, PACKAGE_TIMEOUT);

  afterAll(async () => {
    await tmqserver("--stopserver");
  }, PACKAGE_TIMEOUT);

  test("starts with the first version's command, and says so", async () => {
    const started = await tmqserver("--startserver", "--host", "localhost", "--port", String(port));
    expect(started).toMatchObject({ code: 0 });
    const status = await tmqserver("status");
    expect(status).toMatchObject({ code: 0 });
    expect(status.stdout).toContain(String(port));
  });

  test.each([
    ["Bun", "Bun", ["bun", "send.ts"], ["bun", "receive.ts"]],
    ["Node", "Node", ["node", "send.mjs"], ["node", "receive.mjs"]],
    ["Bun", "Node", ["bun", "send.ts"], ["node", "receive.mjs"]],
    ["Node", "Bun", ["node", "send.mjs"], ["bun", "receive.ts"]],
  ])("a message from %s reaches %s", async (_from, _to, send, receive) => {
    const sent = await run([...send, String(port)], { cwd: project.folder });
    expect(sent).toEqual({ code: 0, stdout: "sent\n", stderr: "" });
    const received = await run([...receive, String(port)], { cwd: project.folder });
    expect(received).toEqual({ code: 0, stdout: '[1,"Hi",null]\n', stderr: "" });
  });

  test("an error is of the same class from both entries, and its class has its own name", async () => {
    const script = `
      import * as client from "tmqserver";
      const names = ${JSON.stringify(ERROR_CLASSES)};
      const made = names.map((name) => name === "TinyMQError" ? new client[name]("INTERNAL", "") : new client[name](""));
      console.log(JSON.stringify(made.map((error) => [error.name, error.constructor.name])));
    `;
    const sameClass = `
      import { TinyMQError } from "tmqserver";
      import { TinyMQServer } from "tmqserver/server";
      try {
        await new TinyMQServer({ port: -1 }).start();
      } catch (error) {
        console.log(error instanceof TinyMQError, error.constructor.name);
      }
    `;
    writeFileSync(join(project.folder, "errors.mjs"), script);
    writeFileSync(join(project.folder, "same-class.ts"), sameClass);
    const expected = `${JSON.stringify(ERROR_CLASSES.map((name) => [name, name]))}\n`;
    for (const runtime of ["bun", "node"]) {
      const shown = await run([runtime, "errors.mjs"], { cwd: project.folder });
      expect(shown).toEqual({ code: 0, stdout: expected, stderr: "" });
    }
    const shown = await run(["bun", "same-class.ts"], { cwd: project.folder });
    expect(shown).toEqual({ code: 0, stdout: "true TinyMQError\n", stderr: "" });
  });

  test("Node is told that the server needs Bun", async () => {
    const reason = "Error: tmqserver/server needs Bun (https://bun.com). Node runs the client; ";
    const names = Object.keys(server).join(", ");
    for (const script of [
      'await import("tmqserver/server")',
      'import * as server from "tmqserver/server"; console.log(server)',
      `import { ${names} } from "tmqserver/server"; console.log(${names})`,
    ]) {
      const { code, stdout, stderr } = await run(["node", "--input-type=module", "-e", script], {
        cwd: project.folder,
      });
      expect({ script, code, stdout }).toEqual({ script, code: 1, stdout: "" });
      expect(stderr).toContain(`${reason}the server runs with: bunx tmqserver start`);
      expect(stderr).not.toContain("SyntaxError");
    }
  });

  test("the client can be bundled for a browser, and needs nothing that a browser lacks", async () => {
    writeFileSync(
      join(project.folder, "page.ts"),
      'import { Producer } from "tmqserver"; console.log(Producer);',
    );
    const built = await Bun.build({
      entrypoints: [join(project.folder, "page.ts")],
      target: "browser",
      external: ["node:*", "ws"],
    });
    const code = await built.outputs[0]!.text();
    expect(code).not.toMatch(/from\s*"|require\(|\bBun\.|\bprocess\./);
  });

  test.each([
    ["Node's resolution, no types of any runtime", { module: "nodenext", lib: ["es2022", "dom"], types: [] }],
    [
      "a bundler's resolution",
      { module: "esnext", moduleResolution: "bundler", lib: ["esnext", "dom"], types: [] },
    ],
    [
      "Node's types, no DOM",
      {
        module: "nodenext",
        lib: ["es2022"],
        types: ["node"],
        typeRoots: [join(ROOT, "node_modules/@types")],
      },
    ],
    [
      "every strict option",
      {
        module: "nodenext",
        lib: ["esnext", "dom"],
        types: [],
        exactOptionalPropertyTypes: true,
        noUncheckedIndexedAccess: true,
      },
    ],
  ])("types check with %s", async (name, options) => {
    const folder = join(project.folder, `types-${name.replaceAll(/\W+/g, "-")}`);
    mkdirSync(folder);
    writeFileSync(join(folder, "main.ts"), TYPED);
    const compilerOptions = { target: "es2022", strict: true, skipLibCheck: false, noEmit: true, ...options };
    writeFileSync(join(folder, "tsconfig.json"), JSON.stringify({ compilerOptions, files: ["main.ts"] }));
    const checked = await run(["bun", TSC, "-p", folder], { cwd: project.folder });
    expect(checked).toEqual({ code: 0, stdout: "", stderr: "" });
  });

  test("is small, with all it brings", () => {
    const modules = join(project.folder, "node_modules");
    const bytes = readdirSync(modules, { recursive: true, encoding: "utf8" })
      .map((file) => statSync(join(modules, file)))
      .reduce((sum, stat) => sum + (stat.isFile() ? stat.size : 0), 0);
    console.log(`installed: ${(bytes / 1e6).toFixed(2)} MB`);
    expect(bytes).toBeLessThan(LARGEST_INSTALL);
  });

  test("stops with the first version's command", async () => {
    expect(await tmqserver("--stopserver")).toMatchObject({ code: 0 });
    expect((await tmqserver("status")).code).toBe(1);
  });
});

describe("what is shipped", () => {
  const project = emptyProject("reader");
  const shipped = join(project.folder, "package");
  const files: string[] = [];
  const read = (file: string): string => readFileSync(join(shipped, file), "utf8");
  const javascript = (): string[] => files.filter((file) => file.endsWith(".js"));

  beforeAll(async () => {
    const unpacked = await run(["tar", "-xzf", await packedPackage()], { cwd: project.folder });
    if (unpacked.code !== 0) throw new Error(`tar failed:\n${unpacked.stderr}`);
    for (const entry of readdirSync(shipped, { recursive: true, withFileTypes: true })) {
      if (!entry.isDirectory()) files.push(relative(shipped, join(entry.parentPath, entry.name)));
    }
  }, PACKAGE_TIMEOUT);

  test("the checks find what they look for", () => {
    const base64 = "QUJD".repeat(51);
    for (const code of [
      'eval("1")',
      "(0, eval)(text)",
      'new Function("return 1")()',
      "Bun.inflateSync(packed)",
      "zlib.gunzipSync(packed)",
      `const packed = "${base64}";`,
      `const packed = "${"\\x41".repeat(40)}";`,
      `const list = [${"1, ".repeat(400)}];`,
      '#!/usr/bin/env sh\n":" /*; exec bun "$0"',
      "\0\u0001",
    ]) {
      expect([code, unreadable(code).length]).toEqual([code, 1]);
    }
    expect(unreadable('#!/usr/bin/env node\nmodel.evaluate("x"); perMessageDeflate = false;')).toEqual([]);
    const renamed = 'class InitFailed2 extends TinyMQError2 {\n  name = "InitFailed";';
    expect(renamedClasses(renamed)).toEqual(["InitFailed2: InitFailed"]);
  });

  test("consists of text that people read, and of nothing else", () => {
    expect(files.filter((file) => !KINDS.test(file))).toEqual([]);
    const found = javascript().map((file) => ({ file, faults: unreadable(withoutEmoji(read(file))) }));
    expect(found.length).toBeGreaterThan(50);
    expect(found.filter(({ faults }) => faults.length > 0)).toEqual([]);
  });

  test("has a command that is a script for a shell, as it stands in the repository", () => {
    const scripts = files.filter((file) => file.endsWith(".sh"));
    expect(scripts).toEqual(["dist/launcher.sh"]);
    expect(read("dist/launcher.sh")).toBe(readFileSync(join(ROOT, "cli/launcher.sh"), "utf8"));
    expect(statSync(join(shipped, "dist/launcher.sh")).mode & 0o111).toBe(0o111);
  });

  test("has every error's class under its own name, wherever one is", () => {
    const found = javascript().map((file) => ({ file, renamed: renamedClasses(read(file)) }));
    expect(found.filter(({ renamed }) => renamed.length > 0)).toEqual([]);
    // The library, its bundle for Node, and the programs: each has the classes that it uses.
    for (const name of ERROR_CLASSES) {
      const places = javascript().filter((file) => new RegExp(`\\bclass ${name} extends`).test(read(file)));
      expect(places).toContain("dist/errors.js");
      expect(places).toContain("dist/index.node.js");
      expect(places.filter((file) => file.startsWith("dist/cli/") && !file.includes("daemon")).length).toBe(
        1,
      );
    }
  });
});

describe("package installed by npm where there is no Bun", () => {
  const project = emptyProject("npm-project");
  const nodeFolder = join(project.folder, "only-node");

  beforeAll(async () => {
    const installed = await run(["npm", "install", "--no-audit", "--no-fund", await packedPackage()], {
      cwd: project.folder,
    });
    if (installed.code !== 0) throw new Error(`npm install failed:\n${installed.stderr}`);
    mkdirSync(nodeFolder);
    for (const name of ["node", "sh", "env", "readlink"])
      symlinkSync(Bun.which(name)!, join(nodeFolder, name));
  }, PACKAGE_TIMEOUT);

  test("the command says how to get Bun", async () => {
    const command = join(project.folder, "node_modules/.bin/tmqserver");
    const refused = await run([command, "--startserver"], {
      cwd: project.folder,
      env: { PATH: nodeFolder, HOME: project.folder, BUN_INSTALL: undefined, TINYMQ_HOME: project.state },
    });
    expect(refused.code).toBe(1);
    expect(refused.stderr).toContain("https://bun.com");
    expect(refused.stderr).not.toContain("at ");
  });

  test("the client works in Node all the same", async () => {
    const script = 'import { Producer } from "tmqserver"; console.log(typeof Producer)';
    const shown = await run(["node", "--input-type=module", "-e", script], {
      cwd: project.folder,
      env: { PATH: nodeFolder },
    });
    expect(shown).toEqual({ code: 0, stdout: "function\n", stderr: "" });
  });
});
