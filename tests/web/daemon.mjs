// A daemon of the test's own, and tokens for it.
import { spawn } from "node:child_process";
import { createHmac, randomUUID } from "node:crypto";
import { createInterface } from "node:readline";

const SECRET = "a-secret-for-tests-of-32-bytes-or-more";

const base64url = (value) => Buffer.from(typeof value === "string" ? value : JSON.stringify(value)).toString("base64url");

/** A token for `sub`, good for so many seconds. */
export function token(sub, scope = "metacog.stream", lifetime = 600) {
  const now = Math.floor(Date.now() / 1000);
  const signed = `${base64url({ alg: "HS256", typ: "JWT" })}.${base64url({ sub, scope, iat: now, exp: now + lifetime, jti: randomUUID() })}`;
  return `${signed}.${createHmac("sha256", SECRET).update(signed).digest("base64url")}`;
}

/** Waits until `ask` answers with something, and no longer than the limit. */
export async function eventually(what, ask, limit = 60_000) {
  const end = Date.now() + limit;
  for (;;) {
    const answer = await ask();
    if (answer) return answer;
    if (Date.now() > end) throw new Error(`waited ${limit} ms in vain for ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/** Those that run, so that a test that fails leaves none behind. */
const running = new Set();
process.once("exit", () => {
  for (const process of running) process.kill("SIGKILL");
});

export class Daemon {
  /** Starts one with these settings (`{ "heart__interval": "50ms" }`) and waits until it is ready. */
  static async start(settings = {}, port = 0) {
    const daemon = new Daemon();
    const env = { ...process.env, CONSCIOUSNESS__SERVER__LISTEN: `127.0.0.1:${port}`, CONSCIOUSNESS__AUTH__SECRET: SECRET, CONSCIOUSNESS__LOG__FORMAT: "json" };
    for (const [key, value] of Object.entries(settings)) env[`CONSCIOUSNESS__${key.toUpperCase()}`] = value;
    daemon.settings = settings;
    daemon.process = spawn(process.env.CONSCIOUSNESS_BINARY, ["serve"], { env, stdio: ["ignore", "ignore", "pipe"] });
    running.add(daemon.process);
    daemon.ended = new Promise((resolve) => daemon.process.once("exit", resolve));
    daemon.ended.then(() => running.delete(daemon.process));
    createInterface({ input: daemon.process.stderr }).on("line", (line) => {
      try {
        const event = JSON.parse(line);
        if (event.message === "listening") daemon.address = event.address;
      } catch {
        process.stderr.write(`${line}\n`);
      }
    });
    await eventually("the daemon to listen", () => daemon.address);
    daemon.url = `http://${daemon.address}`;
    await eventually("the daemon to be ready", async () => (await fetch(`${daemon.url}/readyz`).catch(() => undefined))?.ok);
    return daemon;
  }

  /** Ends it as an operator would. */
  async stop() {
    this.process.kill("SIGTERM");
    await this.ended;
  }

  /** The same settings and port again. */
  async again() {
    return Daemon.start(this.settings, Number(this.address.split(":").at(-1)));
  }

  async observe(observations) {
    const headers = { authorization: `Bearer ${token("agents", "metacog.observe")}`, "content-type": "application/json" };
    const response = await fetch(`${this.url}/v1/observations`, { method: "POST", headers, body: JSON.stringify(observations) });
    if (response.status !== 202) throw new Error(`observations: ${response.status} ${await response.text()}`);
  }
}

/** What an agent does that tries the same again and again. */
export function loop(agent, times = 4) {
  return Array.from({ length: times }, (_, i) => [
    { agent, kind: "action", tool: "search", arguments: { query: "the same" }, call_id: `${agent}-${i}` },
    { agent, kind: "result", call_id: `${agent}-${i}`, ok: true, text: "nothing found", duration_ms: 40 },
  ]).flat();
}
