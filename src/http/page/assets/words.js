// Figures and insights in words that a person understands.
// @ts-check

/** @typedef {Record<string, any>} Insight */

/** What an insight says of whom it concerns. @type {Readonly<Record<string, string>>} */
const SAYS = Object.freeze({
  overconfident: "is surer than it is right",
  underconfident: "is less sure than it is right",
  unreliable: "is as sure when wrong as when right",
  stuck: "is stuck",
  blocked: "is blocked",
  drift: "has drifted",
  overloaded: "is overloaded",
  error_streak: "fails again and again",
  silent: "went silent",
  stalled: "does not get on",
  heart_skewed: "beats late",
  analysis_overrun: "cannot analyse all that comes in",
  store_degraded: "keeps its state in memory alone",
  clients_slow: "has clients that cannot keep up",
});

/** What to do about it. @type {Readonly<Record<string, string>>} */
const TODO = Object.freeze({
  overconfident: "Do not act on its confidence alone: recalibrate or verify.",
  underconfident: "Do not discard its answers for its doubt alone: recalibrate.",
  unreliable: "Ignore its confidence.",
  stuck: "Stop it, or tell it what it does not see.",
  blocked: "Look at the service that it calls, not at the agent.",
  drift: "Ask what changed: task, model, prompt, tools.",
  overloaded: "Shed load, shorten the context, look at the budget.",
  error_streak: "Look at the tool and how it is used.",
  silent: "See whether it lives.",
  stalled: "Stop it, or tell it what it does not see.",
  heart_skewed: "See what else the machine does.",
  analysis_overrun: "Send less, or give it a faster core.",
  store_degraded: "Look at Redis; do not restart the daemon.",
  clients_slow: "Look at their networks; choose fewer agents.",
});

/** Words of the daemon that do not read well as they are. @type {Readonly<Record<string, string>>} */
const WORDS = Object.freeze({
  action_result_repeat: "same result",
  action_error_repeat: "same error",
  cycle: "in circles",
  monologue: "same words",
  no_progress: "same failure",
  half_open: "half open",
});

/**
 * A word of the daemon as it is shown.
 * @param {string | undefined} word
 */
export function shown(word) {
  return word === undefined ? "" : (WORDS[word] ?? word.replaceAll("_", " "));
}

/**
 * A measure with three digits, whole from a thousand on.
 * @param {number | undefined} value
 */
export function figure(value) {
  if (typeof value !== "number") return "";
  if (Number.isInteger(value) || Math.abs(value) >= 1000) return Math.round(value).toLocaleString("en");
  return Number(value.toPrecision(3)).toString();
}

/**
 * A share as a percentage.
 * @param {number | undefined} share
 * @param {number} [decimals]
 */
export function percent(share, decimals = 0) {
  return typeof share === "number" ? `${(share * 100).toFixed(decimals)} %` : "";
}

/**
 * Milliseconds as a time that a person says.
 * @param {number | undefined} ms
 */
export function milliseconds(ms) {
  if (typeof ms !== "number") return "";
  if (ms < 1000) return `${figure(ms < 10 ? ms : Math.round(ms))} ms`;
  return seconds(ms / 1000);
}

/**
 * A length of time: `42 s`, `3 min`, `2 h 5 min`, `3 d`.
 * @param {number | undefined} length In seconds.
 */
export function seconds(length) {
  if (typeof length !== "number" || !Number.isFinite(length)) return "";
  if (length < 10) return `${figure(Math.round(Math.max(0, length) * 10) / 10)} s`;
  if (length < 120) return `${Math.round(length)} s`;
  const minutes = Math.round(length / 60);
  if (minutes < 60) return `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  if (hours >= 10 && hours < 48) return `${Math.round(minutes / 60)} h`;
  if (hours < 48) return minutes % 60 === 0 ? `${hours} h` : `${hours} h ${minutes % 60} min`;
  return `${Math.round(hours / 24)} d`;
}

/**
 * @param {number} count
 * @param {string} thing
 */
export function many(count, thing) {
  return `${figure(count)} ${thing}${count === 1 ? "" : "s"}`;
}

/**
 * Who is concerned and what there is: "airline-5 is stuck".
 * @param {Insight} insight
 */
export function headline(insight) {
  return `${insight.agent ?? "The daemon"} ${says(insight)}`;
}

/** @param {Insight} insight */
export function says(insight) {
  return SAYS[insight.kind] ?? `has: ${shown(insight.kind)}`;
}

/**
 * What usually helps.
 * @param {Insight} insight
 */
export function todo(insight) {
  return TODO[insight.kind] ?? "";
}

/** @param {Record<string, any>} e */
function stuck(e) {
  const action = e.tool ? `the same action (${e.tool})` : "the same action";
  const times = many(e.repeats, "time");
  switch (e.pattern) {
    case "action_result_repeat":
      return `repeated ${action} and got the same result ${times}`;
    case "action_error_repeat":
      return `repeated ${action}, which failed ${times} in a row`;
    case "cycle":
      return `went through the same ${e.period} steps ${times}${e.tool ? `, ${e.tool} among them` : ""}`;
    case "monologue":
      return `said the same thing ${times}, without doing anything`;
    case "no_progress":
      return `tried ${action} ${times} and failed in the same way each time`;
    default:
      return `shows the pattern ${shown(e.pattern)} ${times}`;
  }
}

/** @param {Record<string, any>} e */
function confidence(e) {
  const points = Math.round(Math.abs(e.bias) * 100);
  const than = e.bias > 0 ? "less often than it says" : "more often than it says";
  const range = [e.low, e.high].every((end) => typeof end === "number")
    ? `; the true gap is between ${ends([e.low, e.high].map((end) => Math.round(end * Math.sign(e.bias) * 100)))}, with 99 % confidence`
    : "";
  return `is right ${points} percentage points ${than}, over ${many(e.n, "claim")}${range}`;
}

/** @param {number[]} pair */
function ends(pair) {
  const [low, high] = [...pair].sort((a, b) => a - b);
  return `${low} and ${high} points`;
}

/** @param {Record<string, any>} e */
function drift(e) {
  /** @type {Record<string, [string, (value: number) => string]>} */
  const series = {
    confidence: ["its mean confidence", (value) => percent(value)],
    accuracy: ["the share of right answers", (value) => percent(value)],
    latency: ["its usual latency", milliseconds],
    errors: ["the share of failed calls", (value) => percent(value)],
  };
  const [name, show] = series[e.series] ?? [shown(e.series), figure];
  return `${name} went ${e.after > e.before ? "up" : "down"} from ${show(e.before)} to ${show(e.after)}`;
}

/** @param {Record<string, any>} e */
function overloaded(e) {
  const parts = [];
  if (e.p95_ms !== undefined) {
    const usual = e.before === undefined ? "" : `, where ${milliseconds(e.before)} is usual`;
    parts.push(`one call in twenty takes ${milliseconds(e.p95_ms)} or more${usual}`);
  }
  if (e.context_fill !== undefined) parts.push(`its context window is ${percent(e.context_fill)} full`);
  if (e.tokens_per_minute !== undefined) parts.push(`it uses ${figure(e.tokens_per_minute)} tokens a minute`);
  if (e.budget !== undefined) parts.push(`it has spent ${figure(e.cost)} of its budget of ${figure(e.budget)}`);
  if (e.cost_per_hour !== undefined) parts.push(`it spends ${figure(e.cost_per_hour)} an hour`);
  return parts.join("; ");
}

/** @param {Record<string, any>} e */
function silent(e) {
  const calls = e.open_calls > 0 ? `; ${many(e.open_calls, "call")} of it still ${e.open_calls === 1 ? "waits" : "wait"} for a result` : "";
  return `nothing was heard of it for ${seconds(e.quiet_s)}; at its pace ${seconds(e.expected_s)} would be the most${calls}`;
}

/** @param {Record<string, any>} e */
function stalled(e) {
  const total = e.total === undefined ? "" : ` of ${figure(e.total)}`;
  return `has stood at ${figure(e.done)}${total} for ${seconds(e.stalled_s)}, while it did ${many(e.n, "thing")}; ${seconds(e.expected_s)} would be usual`;
}

/** The evidence of each kind, in words, where it is complete. @type {Readonly<Record<string, [string[], (e: Record<string, any>) => string]>>} */
const EVIDENCE = Object.freeze({
  stuck: [["pattern", "repeats"], stuck],
  overconfident: [["bias", "n"], confidence],
  underconfident: [["bias", "n"], confidence],
  unreliable: [["auroc2", "n"], (e) => `its type-2 AUROC is ${figure(e.auroc2)} over ${many(e.n, "claim")}, where 0.5 is chance`],
  blocked: [["in_a_row"], (e) => `infrastructure failed it ${many(e.in_a_row, "time")} in a row`],
  error_streak: [["in_a_row"], (e) => `${many(e.in_a_row, "call")} failed in a row`],
  drift: [["series", "before", "after"], drift],
  overloaded: [[], overloaded],
  silent: [["quiet_s", "expected_s"], silent],
  stalled: [["done", "stalled_s", "expected_s", "n"], stalled],
  heart_skewed: [["skew_ms", "missed"], (e) => `the last beat was ${milliseconds(e.skew_ms)} late; ${many(e.missed, "beat")} missed so far`],
  analysis_overrun: [["backlog"], (e) => `${many(e.backlog, "observation")} wait for the next beat${e.p95_ms === undefined ? "" : `; one beat in twenty takes ${milliseconds(e.p95_ms)} or more`}`],
  store_degraded: [[], (e) => `Redis does not answer${e.breaker ? `; its breaker is ${shown(e.breaker)}` : ""}; nothing is lost while the daemon runs`],
  clients_slow: [["drops"], (e) => `${many(e.drops, "frame")} given up within a minute`],
});

/**
 * The evidence of an insight as a sentence without its subject: "repeated the same action and got the same result 4
 * times".
 * @param {Insight} insight
 */
export function evidence(insight) {
  const e = insight.evidence ?? {};
  const [needs, tell] = EVIDENCE[insight.kind] ?? [["unknown kind"], () => ""];
  const told = needs.every((key) => e[key] !== undefined) ? tell(e) : "";
  const text = told || Object.keys(e).filter((key) => key !== "because").map((key) => `${shown(key)} ${typeof e[key] === "number" ? figure(e[key]) : shown(e[key])}`).join(", ");
  return e.because ? `${text}; probably because it ${SAYS[e.because] ?? shown(e.because)}` : text;
}
