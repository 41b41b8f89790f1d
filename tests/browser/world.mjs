// A real server and real players for the page to look at. Everything ends with the test, also when that fails.

import { spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";

const PATIENCE_MS = 30_000;
const PASSWORD = "correct-horse";

// What a process has said, line by line, and who waits for more of it.
class Heard {
  lines = [];
  #waiting = new Set();

  constructor(stream, parse) {
    let rest = "";
    stream.setEncoding("utf8").on("data", (text) => {
      const lines = (rest + text).split("\n");
      rest = lines.pop();
      for (const line of lines) this.lines.push(parse(line));
      this.#waiting.forEach((look) => look());
    });
  }

  // The first thing from `from` on that fits.
  until(what, fits, from = 0) {
    return new Promise((found, failed) => {
      const late = setTimeout(() => {
        this.#waiting.delete(look);
        failed(new Error(`${what} has not come; heard: ${JSON.stringify(this.lines.slice(-8))}`));
      }, PATIENCE_MS);
      const look = () => {
        const line = this.lines.slice(from).find(fits);
        if (line === undefined) return;
        clearTimeout(late);
        this.#waiting.delete(look);
        found(line);
      };
      this.#waiting.add(look);
      look();
    });
  }
}

export async function freePort() {
  const server = createServer();
  await new Promise((ready) => server.listen(0, "127.0.0.1", ready));
  const { port } = server.address();
  await new Promise((closed) => server.close(closed));
  return port;
}

export class World {
  dir = mkdtempSync(join(tmpdir(), "rejoin-browser-"));
  #children = new Set();

  constructor(program) {
    this.program = program;
  }

  run(words, dir, options = {}) {
    mkdirSync(dir, { recursive: true });
    const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith("REJOIN_")));
    const child = spawn(this.program, words, { cwd: dir, env, stdio: ["pipe", "pipe", "pipe"], ...options });
    this.#children.add(child);
    child.once("exit", () => this.#children.delete(child));
    child.stdin.on("error", () => {});
    return child;
  }

  async end() {
    const gone = [...this.#children].map((child) => new Promise((ended) => child.once("exit", ended)));
    this.#children.forEach((child) => child.kill("SIGKILL"));
    await Promise.all(gone);
    rmSync(this.dir, { recursive: true, force: true, maxRetries: 20, retryDelay: 100 });
  }
}

// `rejoin server --supervise --ops`.
export class Server {
  static async start(world) {
    const server = new Server();
    server.ops = await freePort();
    const words = ["server", "--listen", "127.0.0.1:0", "--supervise", "--ops", `127.0.0.1:${server.ops}`];
    server.child = world.run(words, join(world.dir, "server"));
    server.out = new Heard(server.child.stdout, (line) => line);
    server.errors = new Heard(server.child.stderr, (line) => line);
    const line = await server.out.until("the address to play at", (line) => line.includes("rejoin play --server"));
    server.address = line.split("--server ")[1].trim();
    return server;
  }

  get page() {
    return `http://127.0.0.1:${this.ops}/`;
  }

  // Kills the process that serves, with SIGKILL; its parent starts the next. When that was.
  kill() {
    const all = [...this.out.lines, ...this.errors.lines];
    const worker = all.findLast((line) => /worker \d+ started$/.test(line));
    process.kill(Number(worker.match(/worker (\d+)/)[1]), "SIGKILL");
    return Date.now();
  }
}

// `rejoin play --json`.
export class Player {
  static async join(world, server, name) {
    const player = new Player();
    Object.assign(player, { world, server, name });
    player.start();
    await player.until({ event: "link", state: "live" });
    await player.done(`adduser ${name} ${PASSWORD}`);
    await player.done(`login ${name} ${PASSWORD}`);
    return player;
  }

  start() {
    const dir = join(this.world.dir, this.name);
    this.child = this.world.run(["play", "--json", "--server", this.server.address, "--state", dir], dir);
    this.child.stderr.resume();
    this.heard = new Heard(this.child.stdout, JSON.parse);
  }

  until(fields, from) {
    const fits = (event) => Object.entries(fields).every(([name, value]) => event[name] === value);
    return this.heard.until(`${this.name}: ${JSON.stringify(fields)}`, fits, from);
  }

  async done(line) {
    const from = this.heard.lines.length;
    this.child.stdin.write(`${line}\n`);
    const reply = await this.until({ event: "reply", command: line.split(" ")[0] }, from);
    if (!reply.ok) throw new Error(`${this.name}: ${line}: ${JSON.stringify(reply)}`);
  }

  // Has the session again, after all that was heard so far.
  back(from = this.heard.lines.length) {
    return this.until({ event: "link", state: "live" }, from);
  }
}

// Two players at a board: X first.
export async function pair(world, server, names) {
  const [one, other] = await Promise.all(names.map((name) => Player.join(world, server, name)));
  await one.done(`begin ${other.name}`);
  await other.until({ event: "invited" });
  await other.done("accept");
  const { you } = await one.until({ event: "match" });
  await other.until({ event: "match" });
  return you === "X" ? [one, other] : [other, one];
}
