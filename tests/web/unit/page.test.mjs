// What the page computes and says, without a browser.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { describe, it } from "node:test";

import { spark, wilson } from "../../../src/http/page/assets/charts.js";
import { Agents, Insights, matcher } from "../../../src/http/page/assets/model.js";
import { evidence, figure, headline, milliseconds, percent, seconds, todo } from "../../../src/http/page/assets/words.js";

const source = (path) => readFileSync(new URL(`../../../src/${path}`, import.meta.url), "utf8");
/** The words of a closed set of the daemon. */
const words = (name) => [...source("domain/insight.rs").split(`    ${name} {`)[1].split("\n}")[0].matchAll(/ = "([a-z0-9_]+)"/g)].map(([, word]) => word);

describe("insights in words", () => {
  it("are sentences", () => {
    const cases = [
      [{ kind: "stuck", evidence: { pattern: "action_result_repeat", repeats: 4 } }, "repeated the same action and got the same result 4 times"],
      [{ kind: "stuck", evidence: { pattern: "action_error_repeat", repeats: 3, tool: "ls", observation: 9 } }, "repeated the same action (ls), which failed 3 times in a row"],
      [{ kind: "stuck", evidence: { pattern: "cycle", repeats: 3, period: 2, tool: "ls" } }, "went through the same 2 steps 3 times, ls among them"],
      [{ kind: "overconfident", evidence: { bias: 0.18, n: 311, low: 0.12, high: 0.24 } }, "is right 18 percentage points less often than it says, over 311 claims; the true gap is between 12 and 24 points, with 99 % confidence"],
      [{ kind: "underconfident", evidence: { bias: -0.2, n: 50, low: -0.3, high: -0.1 } }, "is right 20 percentage points more often than it says, over 50 claims; the true gap is between 10 and 30 points, with 99 % confidence"],
      [{ kind: "drift", evidence: { series: "latency", before: 120, after: 2400 } }, "its usual latency went up from 120 ms to 2.4 s"],
      [{ kind: "drift", evidence: { series: "accuracy", before: 0.9, after: 0.6, because: "stuck" } }, "the share of right answers went down from 90 % to 60 %; probably because it is stuck"],
      [{ kind: "silent", evidence: { quiet_s: 95, expected_s: 20, open_calls: 1, state: "waiting" } }, "nothing was heard of it for 95 s; at its pace 20 s would be the most; 1 call of it still waits for a result"],
      [{ kind: "overloaded", evidence: { context_fill: 0.93 } }, "its context window is 93 % full"],
      [{ kind: "error_streak", evidence: { in_a_row: 1 } }, "1 call failed in a row"],
      // What this page does not know yet is told as it is.
      [{ kind: "haunted", evidence: { ghosts: 3 } }, "ghosts 3"],
      [{ kind: "stuck", evidence: { repeats: 3 } }, "repeats 3"],
    ];
    for (const [insight, sentence] of cases) assert.equal(evidence(insight), sentence);
    assert.equal(headline({ kind: "stuck", agent: "airline-5" }), "airline-5 is stuck");
    assert.equal(headline({ kind: "heart_skewed" }), "The daemon beats late");
  });

  it("cover every kind and pattern that the daemon has", () => {
    const kinds = words("InsightKind");
    assert.ok(kinds.length >= 14, String(kinds));
    for (const kind of kinds) {
      assert.doesNotMatch(headline({ kind }), /has: /, kind);
      assert.ok(todo({ kind }).length > 10, kind);
    }
    for (const pattern of ["action_result_repeat", "action_error_repeat", "cycle", "monologue", "no_progress"]) {
      assert.ok(words("Word").includes(pattern));
      assert.doesNotMatch(evidence({ kind: "stuck", evidence: { pattern, repeats: 3, period: 2 } }), /pattern|undefined/);
    }
  });
});

describe("figures", () => {
  it("are as short as they are true", () => {
    assert.deepEqual([0, 3, 1234.5, 0.123456, 12.345, undefined].map(figure), ["0", "3", "1,235", "0.123", "12.3", ""]);
    assert.deepEqual([percent(0.256), percent(1, 1), percent(undefined)], ["26 %", "100.0 %", ""]);
    assert.deepEqual([0.04, 9.87, 999, 1500, 120_000].map(milliseconds), ["0.04 ms", "9.87 ms", "999 ms", "1.5 s", "2 min"]);
    assert.deepEqual([0, 3.14, 90, 125, 3600, 7500, 43_000, 200_000].map(seconds), ["0 s", "3.1 s", "90 s", "2 min", "1 h", "2 h 5 min", "12 h", "2 d"]);
  });

  it("have intervals", () => {
    const [low, high] = wilson(5, 10);
    assert.ok(Math.abs(low - 0.2366) < 1e-3 && Math.abs(high - 0.7634) < 1e-3);
    assert.deepEqual([wilson(0, 3)[0], wilson(3, 3)[1]], [0, 1]);
  });

  it("make lines with gaps", () => {
    const { line, area } = spark([Number.NaN, 2, 1, Number.NaN, 2], 40, 10);
    assert.equal(line, "M10.0 1.0L20.0 5.0M40.0 1.0");
    assert.equal(area, "M10.0 10L10.0 1.0L20.0 5.0L20.0 10ZM40.0 10L40.0 1.0L40.0 10Z");
  });
});

describe("the agents", () => {
  const record = (status, observations, more = {}) => ({ status, observations, advice: "continue", ...more });
  const view = { sort: "status", descending: false, filter: "", statuses: new Set() };
  const names = (agents, changes) => agents.select({ ...view, ...changes }).map(({ name }) => name);

  it("are sorted and filtered", () => {
    const agents = new Agents();
    const records = {
      "worker-10": record("progressing", 5, { load: { p95_ms: 300, results: 4, failed: 1 } }),
      "worker-2": record("progressing", 5, { load: { p95_ms: 200, results: 4, failed: 2 } }),
      planner: record("stuck", 9, { loop: { pattern: "cycle", repeats: 3 } }),
      idler: record("idle", 1, { loop: { repeats: 0 } }),
    };
    agents.update(records, undefined);
    assert.deepEqual(names(agents, {}), ["planner", "worker-2", "worker-10", "idler"]);
    assert.deepEqual(names(agents, { sort: "name", descending: true }), ["worker-10", "worker-2", "planner", "idler"]);
    assert.deepEqual(names(agents, { sort: "p95", descending: true }), ["worker-10", "worker-2", "idler", "planner"], "what has none comes last");
    assert.deepEqual(names(agents, { sort: "p95" }), ["worker-2", "worker-10", "idler", "planner"]);
    assert.deepEqual(names(agents, { sort: "failed", descending: true }).slice(0, 2), ["worker-2", "worker-10"]);
    assert.deepEqual(names(agents, { filter: "WORK" }), ["worker-2", "worker-10"]);
    assert.deepEqual(names(agents, { filter: "worker-? idler" }), ["worker-2", "idler"]);
    assert.deepEqual(names(agents, { statuses: new Set(["idle", "stuck"]) }), ["planner", "idler"]);
    assert.deepEqual(agents.counts(), { stuck: 1, blocked: 0, silent: 0, degraded: 0, progressing: 2, idle: 1 });
    delete records.idler;
    agents.update(records, { idler: null });
    assert.deepEqual(names(agents, {}).includes("idler"), false);
  });

  it("have an activity of their own seconds", () => {
    const agents = new Agents();
    agents.update({ a: record("progressing", 10) }, undefined);
    agents.sample(true);
    agents.update({ a: record("progressing", 14) }, { a: { observations: 14 } });
    agents.sample(true);
    agents.update({ a: record("progressing", 90) }, { a: { observations: 90 } });
    agents.sample(false);
    const agent = agents.all.get("a");
    assert.deepEqual(agents.activity(agent).slice(-3), [0, 4, Number.NaN]);
    assert.equal(agents.lately(agent), 2);
  });

  it("match by parts and wildcards, and nothing else is special", () => {
    assert.ok(matcher("a.b")("xa.by") && !matcher("a.b")("xaxby"));
    assert.ok(matcher("a*z")("abcz") && !matcher("a*z")("abczz1") && matcher("(")("f(x)") && matcher(" ")("anything"));
  });
});

describe("insights of a page", () => {
  it("are remembered for a while when they are over", () => {
    const insights = new Insights();
    const at = Date.parse("2026-01-01T00:00:10Z");
    const since = "2026-01-01T00:00:00Z";
    insights.update({ x: { kind: "stuck", since }, y: { kind: "drift", since: "2026-01-01T00:00:05Z" } }, undefined, at);
    assert.deepEqual(insights.open().map(({ id }) => id), ["y", "x"]);
    insights.update({ x: { kind: "stuck", since } }, { y: null }, at + 1000);
    assert.deepEqual([insights.open().length, insights.over()[0].until], [1, at + 1000]);
    // A whole state says what is over, too; and nothing is kept for ever.
    insights.update({}, undefined, at + 2000);
    assert.deepEqual(insights.over().map(({ id }) => id), ["x", "y"]);
    insights.update({}, {}, at + 1500 + Insights.KEEP);
    assert.deepEqual(insights.over().map(({ id }) => id), ["x"]);
  });
});
