// The client library, against frames recorded from a daemon and a socket that the test holds.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { afterEach, beforeEach, describe, it } from "node:test";

globalThis.CustomEvent ??= class extends Event {
  constructor(type, { detail } = {}) {
    super(type);
    this.detail = detail;
  }
};
const { MetacogStream, mergePatch, reasonOf } = await import("../../../src/http/page/client.js");

const lines = readFileSync(new URL("../fixtures/frames.ndjson", import.meta.url), "utf8").trim().split("\n").map((line) => JSON.parse(line));
const { expected } = lines.pop();
const [HELLO, STATE] = lines;

class Socket {
  static all = [];
  readyState = 0;
  sent = [];

  constructor(url, protocols) {
    if (protocols.some((protocol) => /[\s,]/.test(protocol))) throw new SyntaxError("not a subprotocol");
    Object.assign(this, { url: String(url), protocols });
    Socket.all.push(this);
  }

  open() {
    this.readyState = 1;
    this.onopen?.();
  }

  say(...frames) {
    for (const frame of frames) this.onmessage?.({ data: JSON.stringify(frame) });
  }

  end(code) {
    this.readyState = 3;
    this.onclose?.({ code, reason: "" });
  }

  send(text) {
    this.sent.push(JSON.parse(text));
  }

  close(code) {
    this.readyState = 2;
    this.closedWith = code;
  }
}

/** Timers that the test moves on. */
const real = { setTimeout, clearTimeout, setInterval, clearInterval, now: Date.now };
let timers = [];
let now = 0;

function advance(ms) {
  const end = now + ms;
  for (;;) {
    const due = timers.filter(({ at }) => at <= end).sort((a, b) => a.at - b.at)[0];
    if (due === undefined) break;
    now = due.at;
    if (due.every) due.at += due.every;
    else timers = timers.filter((timer) => timer !== due);
    due.call();
  }
  now = end;
}

const settled = () => new Promise((resolve) => setImmediate(resolve));

beforeEach(() => {
  Socket.all = [];
  timers = [];
  now = 1_000_000;
  const start = (call, ms, every) => {
    const timer = { call, at: now + ms, every };
    timers.push(timer);
    return timer;
  };
  const stop = (stopped) => {
    timers = timers.filter((timer) => timer !== stopped);
  };
  globalThis.setTimeout = (call, ms) => start(call, ms, 0);
  globalThis.setInterval = (call, ms) => start(call, ms, ms);
  globalThis.clearTimeout = globalThis.clearInterval = stop;
  Date.now = () => now;
});
afterEach(() => {
  Object.assign(globalThis, { ...real });
  Date.now = real.now;
});

/** A stream, its last socket, what it told, and what HTTP answers. */
function bench(options = {}) {
  const told = [];
  const asked = [];
  const answers = [];
  const stream = new MetacogStream({
    url: "http://daemon:8080",
    token: "a.b.c",
    WebSocket: Socket,
    random: () => 1,
    fetch: async (url, init) => {
      asked.push([String(url), init?.headers ?? {}]);
      const answer = answers.shift();
      if (answer === undefined) throw new TypeError("unreachable");
      return answer;
    },
    ...options,
  });
  for (const kind of ["status", "hello", "change", "trouble", "ticket"]) stream.on(kind, ({ detail }) => told.push([kind, detail]));
  const socket = () => Socket.all[Socket.all.length - 1];
  const begin = () => {
    stream.open();
    socket().open();
    socket().say(HELLO, STATE);
  };
  return { stream, told, asked, answers, socket, begin };
}

describe("merge patches", () => {
  it("follow the examples of RFC 7396", () => {
    const examples = [
      [{ a: "b" }, { a: "c" }, { a: "c" }], [{ a: "b" }, { b: "c" }, { a: "b", b: "c" }], [{ a: "b" }, { a: null }, {}],
      [{ a: "b", b: "c" }, { a: null }, { b: "c" }], [{ a: ["b"] }, { a: "c" }, { a: "c" }], [{ a: "c" }, { a: ["b"] }, { a: ["b"] }],
      [{ a: { b: "c" } }, { a: { b: "d", c: null } }, { a: { b: "d" } }], [{ a: [{ b: "c" }] }, { a: [1] }, { a: [1] }],
      [["a", "b"], ["c", "d"], ["c", "d"]], [{ a: "b" }, ["c"], ["c"]], [{ a: "foo" }, null, null], [{ a: "foo" }, "bar", "bar"],
      [{ e: null }, { a: 1 }, { e: null, a: 1 }], [[1, 2], { a: "b", c: null }, { a: "b" }], [{}, { a: { bb: { ccc: null } } }, { a: { bb: {} } }],
    ];
    for (const [target, patch, result] of examples) {
      assert.deepEqual(JSON.parse(JSON.stringify(mergePatch(target, patch))), result);
    }
  });

  it("take any name for a name", () => {
    const state = mergePatch(undefined, JSON.parse('{"agents":{"__proto__":{"status":"stuck"},"constructor":{"status":"idle"}}}'));
    assert.deepEqual(Object.keys(state.agents), ["__proto__", "constructor"]);
    assert.equal(state.agents.toString, undefined);
    mergePatch(state, JSON.parse('{"agents":{"__proto__":{"status":"idle"},"constructor":null}}'));
    assert.equal(state.agents["__proto__"].status, "idle");
    assert.equal({}.status, undefined);
  });
});

describe("a stream", () => {
  it("ends up with the daemon's own state after all recorded frames", () => {
    const { stream, told, socket } = bench();
    stream.open();
    assert.deepEqual([socket().url, socket().protocols], ["ws://daemon:8080/v1/stream", ["metacog.v1", "bearer.a.b.c"]]);
    socket().open();
    assert.deepEqual(socket().sent, [], "nothing to say that is not so anyway");
    socket().say(...lines);
    assert.equal(stream.status, "open");
    assert.deepEqual([stream.epoch, stream.beat], [expected.epoch, expected.beat]);
    assert.deepEqual(JSON.parse(JSON.stringify(stream.state)), expected.state);
    const changes = told.filter(([kind]) => kind === "change");
    assert.equal(changes.length, lines.length - 1);
    assert.equal(changes[0][1].patch, undefined);
    assert.ok(changes.some(([, { patch }]) => patch?.agents?.["airline-5"]?.status === "stuck"));
    assert.ok(Math.abs(stream.at - expected.ts_ns / 1e6) < 1);
  });

  it("comes back with its ticket, from the beat it knows, later each time", () => {
    const { stream, told, socket, begin } = bench({ maxHz: 5 });
    begin();
    assert.deepEqual(socket().sent, [{ type: "subscribe", max_hz: 5 }]);
    socket().end(1012);
    assert.equal(stream.status, "waiting");
    assert.deepEqual([stream.reason.code, stream.reason.again], [1012, true]);
    const waits = [];
    for (let i = 0; i < 8; i += 1) {
      const [, { retryMs }] = told.filter(([kind, detail]) => kind === "status" && detail.status === "waiting").at(-1);
      waits.push(retryMs);
      advance(retryMs - 1);
      const before = Socket.all.length;
      advance(1);
      assert.equal(Socket.all.length, before + 1);
      assert.deepEqual(socket().protocols, ["metacog.v1", "resume.a-ticket"]);
      assert.equal(socket().url, `ws://daemon:8080/v1/stream?since=${STATE.epoch}:${STATE.beat}`);
      // Close codes other than 1006 come from a daemon, so nobody needs to be asked.
      socket().end(1001);
    }
    assert.deepEqual(waits, [500, 1000, 2000, 4000, 8000, 15000, 15000, 15000]);
    advance(15000);
    socket().open();
    socket().say({ ...HELLO, resume: "another" });
    const delta = { type: "delta", epoch: STATE.epoch, beat: STATE.beat + 7, base: STATE.beat, ts_ns: 5, patch: { heart: { missed: 3 } } };
    socket().say(delta);
    assert.deepEqual([stream.status, stream.beat, stream.state.heart.missed, stream.reopened], ["open", STATE.beat + 7, 3, 1]);
    socket().end(1006);
    advance(500);
    assert.equal(socket().protocols[1], "resume.another");
  });

  it("waits at random", () => {
    const { told, socket, begin } = bench({ random: () => 0 });
    begin();
    socket().end(1012);
    assert.equal(told.at(-1)[1].retryMs, 250);
  });

  it("says of each close code why, what to do, and whether it comes back", () => {
    for (const [code, again] of [[1001, true], [1003, false], [1006, true], [1008, false], [1009, false], [1012, true], [4401, false], [4403, false], [4408, true], [4429, false]]) {
      const { stream, socket, begin } = bench();
      begin();
      socket().end(code);
      assert.equal(stream.status, again ? "waiting" : "ended", String(code));
      assert.equal(stream.reason, stream.reason);
      assert.deepEqual({ ...stream.reason }, reasonOf(code));
      assert.ok(stream.reason.why.length > 10 && stream.reason.todo.length > 10);
      const before = Socket.all.length;
      advance(60_000);
      assert.equal(Socket.all.length > before, again);
      stream.close();
    }
    assert.match(reasonOf(4999).why, /4999/);
    assert.match(reasonOf(4403, "cut off").why, /cut off by somebody/);
    assert.match(reasonOf(4403, "token revoked").why, /revoked/);
  });

  it("asks why it was refused, since browsers do not say", async () => {
    const json = (status, body, error) => ({ ok: status < 300, status, json: async () => body, headers: new Headers(error ? { "www-authenticate": `Bearer error="${error}"` } : {}) });
    const cases = [
      [json(304), "ended", /opened a stream before/],
      [json(401, { detail: "the token has expired" }), "ended", /^The token has expired\.$/, /new token/],
      [json(403, { detail: "the token lacks the scope that this needs" }, "insufficient_scope"), "ended", /lacks the scope/, /metacog\.stream/],
      [json(403, { detail: "pages of this origin may not connect" }), "ended", /origin/, /who runs the daemon/],
      [json(503, {}), "waiting", /starting, draining or full/],
      [undefined, "waiting", /cannot be reached/],
    ];
    for (const [answer, status, why, todo] of cases) {
      const { stream, asked, answers, socket } = bench();
      if (answer) answers.push(answer);
      stream.open();
      socket().end(1006);
      await settled();
      assert.equal(stream.status, status);
      assert.match(stream.reason.why, why);
      if (todo) assert.match(stream.reason.todo, todo);
      assert.deepEqual(asked, [["http://daemon:8080/v1/state", { "if-none-match": "*", authorization: "Bearer a.b.c" }]]);
      stream.close();
    }
  });

  it("gives up a ticket only when a daemon that is ready refused it twice", async () => {
    const { stream, answers, told, socket, begin } = bench();
    begin();
    socket().end(1012);
    answers.push(undefined, { ok: false, status: 503 }, { ok: true, status: 200 }, { ok: true, status: 200 });
    const statuses = [];
    for (let i = 0; i < 4; i += 1) {
      advance(15_000);
      socket().end(1006);
      await settled();
      statuses.push(stream.status);
    }
    assert.deepEqual(statuses, ["waiting", "waiting", "waiting", "ended"]);
    assert.match(stream.reason.why, /cannot be reopened/);
    assert.deepEqual(told.filter(([kind]) => kind === "ticket").at(-1)[1], { ticket: undefined });
  });

  it("begins anew where a difference is not to what it knows", () => {
    const { stream, socket, begin } = bench();
    begin();
    socket().say({ type: "delta", epoch: STATE.epoch, beat: 900, base: 800, ts_ns: 1, patch: {} });
    assert.deepEqual([stream.status, stream.state], ["waiting", undefined]);
    advance(500);
    assert.equal(socket().url, "ws://daemon:8080/v1/stream");
  });

  it("takes a silent socket for a dead one", () => {
    const { stream, socket, begin } = bench();
    begin();
    const first = socket();
    advance(11_000);
    assert.equal(stream.status, "open");
    advance(2_000);
    assert.deepEqual([stream.status, first.closedWith], ["waiting", 1000]);
    // What the dead one says late is nobody's any more.
    first.say({ type: "error", code: "late", message: "" });
    first.end(4403);
    assert.equal(stream.status, "waiting");
  });

  it("pauses, and goes on where it was", () => {
    const { stream, socket, begin } = bench();
    begin();
    stream.pause();
    assert.deepEqual([stream.status, socket().closedWith], ["paused", 1000]);
    advance(600_000);
    assert.equal(Socket.all.length, 1);
    stream.open();
    assert.equal(socket().url, `ws://daemon:8080/v1/stream?since=${STATE.epoch}:${STATE.beat}`);
  });

  it("chooses, observes and prolongs", () => {
    const { stream, told, socket, begin } = bench({ agents: ["planner-*"] });
    begin();
    assert.deepEqual(socket().sent.pop(), { type: "subscribe", agents: ["planner-*"] });
    stream.subscribe({ maxHz: 2 });
    assert.deepEqual(socket().sent.pop(), { type: "subscribe", max_hz: 2 });
    assert.equal(stream.observe({ agent: "a", kind: "thought" }), true);
    assert.deepEqual(socket().sent.pop(), { type: "observe", observation: { agent: "a", kind: "thought" } });
    assert.equal(stream.auth("d.e.f"), true);
    assert.deepEqual(socket().sent.pop(), { type: "auth", token: "d.e.f" });
    socket().say({ ...HELLO, resume: "fresh" });
    assert.deepEqual(told.filter(([kind]) => kind === "ticket").at(-1)[1], { ticket: "fresh" });
    socket().say({ type: "error", code: "draining", message: "soon", retry_ms: 40 }, { type: "something new" });
    assert.deepEqual(told.at(-1), ["trouble", { code: "draining", message: "soon", retryMs: 40 }]);
    socket().end(4401);
    assert.equal(stream.observe({}), false);
  });

  it("reads nobody's differences for those of a choice of agents", () => {
    const { socket, begin } = bench({ agents: ["a*"] });
    begin();
    socket().end(1012);
    advance(500);
    assert.equal(socket().url, "ws://daemon:8080/v1/stream");
  });

  it("does not offer what is no token, and needs one", () => {
    const { stream } = bench({ token: "two words" });
    stream.open();
    assert.deepEqual([stream.status, stream.reason.why], ["ended", "This is not a token."]);
    const none = bench({ token: undefined });
    none.stream.open();
    assert.deepEqual([none.stream.status, Socket.all.length], ["ended", 0]);
  });

  it("forgets everything when it is closed", () => {
    const { stream, told, socket, begin } = bench();
    begin();
    stream.close();
    assert.deepEqual([stream.status, stream.state, socket().closedWith], ["idle", undefined, 1000]);
    assert.deepEqual(told.filter(([kind]) => kind === "ticket").at(-1)[1], { ticket: undefined });
    advance(600_000);
    stream.open();
    assert.equal(Socket.all.length, 1);
  });
});
