// The heart: how late it beats, how many beats it missed, and what the daemon says of itself.
// @ts-check

import { byId, define, mark, say } from "./dom.js";
import { figure, milliseconds, percent, seconds, shown } from "./words.js";

/** Share of beats that have to be on time, and what 95 of 100 beats may cost, milliseconds. */
const CONTINUITY = 0.999;
const ANALYSIS = 500;
/** Seconds in sight, and points kept. */
const SPAN = 180;
const MOST = 2000;

/** @typedef {uPlot} Plot The chart library comes as a script of its own. */

export class Heart {
  /** Seconds since 1970, lateness in milliseconds, and the same where beats were missed. @type {[number[], (number | null)[], (number | null)[]]} */
  #data = [[], [], []];
  #missed = -1;
  /** @type {Plot | undefined} */
  #plot;
  #box = byId("skew-plot", HTMLElement);
  #pulse = byId("pulse", SVGElement);

  constructor() {
    new ResizeObserver(() => this.#resize()).observe(this.#box);
    // Colours on a canvas do not follow the style by themselves.
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
      this.#plot?.destroy();
      this.#plot = undefined;
      this.draw();
    });
  }

  /**
   * Notes a beat.
   * @param {Record<string, any> | undefined} heart
   * @param {number} at Milliseconds since 1970.
   */
  beat(heart, at) {
    if (heart === undefined) return;
    const [times, skews, misses] = this.#data;
    const time = at / 1000;
    if (times.length > 0 && time <= times[times.length - 1]) return;
    // A gap in what was heard is a gap in the line.
    if (times.length > 0 && time - times[times.length - 1] > 3) this.#push(time - 0.001, null, null);
    const missed = this.#missed >= 0 && heart.missed > this.#missed;
    this.#missed = heart.missed ?? -1;
    this.#push(time, heart.skew_ms ?? null, missed ? (heart.skew_ms ?? 0) : null);
    const from = times.findIndex((point) => point >= time - SPAN);
    const surplus = Math.max(from, times.length - MOST);
    if (surplus > 50) for (const series of this.#data) series.splice(0, surplus);
    skews.length = misses.length = times.length;
  }

  /** The heart beats: once a second, as it is shown. */
  pulse() {
    const even = this.#pulse.getAttribute("class") === "beat-a";
    mark(this.#pulse, "class", even ? "beat-b" : "beat-a");
  }

  /**
   * @param {number} time
   * @param {number | null} skew
   * @param {number | null} missed
   */
  #push(time, skew, missed) {
    this.#data[0].push(time);
    this.#data[1].push(skew);
    this.#data[2].push(missed);
  }

  /** Draws the plot. */
  draw() {
    const [times, skews] = this.#data;
    if (times.length === 0 || this.#box.clientWidth === 0) return;
    this.#plot ??= this.#make();
    const now = times[times.length - 1];
    this.#plot.batch(() => {
      this.#plot?.setData(this.#data, false);
      this.#plot?.setScale("x", { min: now - SPAN, max: now });
      const most = skews.reduce((/** @type {number} */ most, skew) => Math.max(most, skew ?? 0), 1);
      this.#plot?.setScale("y", { min: 0, max: most * 1.15 });
    });
    const most = Math.max(...skews.map((skew) => skew ?? 0));
    mark(this.#box, "aria-label", `Lateness of the beats over the last three minutes: ${milliseconds(skews[skews.length - 1] ?? undefined)} now, ${milliseconds(most)} at most`);
  }

  #make() {
    const style = getComputedStyle(document.documentElement);
    /** @param {string} name */
    const colour = (name) => style.getPropertyValue(name).trim();
    const ticks = { stroke: colour("--soft"), font: "11px system-ui, sans-serif", grid: { stroke: colour("--line"), width: 1 }, ticks: { show: false } };
    return new uPlot(
      {
        width: this.#box.clientWidth,
        height: this.#box.clientHeight,
        cursor: { show: false },
        legend: { show: false },
        scales: { x: { time: true, auto: false }, y: { auto: false } },
        padding: [6, 22, 0, 0],
        axes: [
          { ...ticks, size: 22, space: 60, values: (_, marks) => marks.map((mark) => new Date(mark * 1000).toLocaleTimeString("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" })) },
          { ...ticks, size: 54, space: 26, values: (_, marks) => marks.map((mark) => `${figure(mark)} ms`) },
        ],
        series: [
          {},
          { stroke: colour("--accent"), width: 1.5, fill: colour("--accent-wash"), points: { show: false } },
          { stroke: colour("--bad"), width: 0, points: { show: true, size: 7, fill: colour("--bad") } },
        ],
      },
      this.#data,
      this.#box,
    );
  }

  #resize() {
    if (this.#plot === undefined) this.draw();
    else this.#plot.setSize({ width: this.#box.clientWidth, height: this.#box.clientHeight });
  }
}

/**
 * The daemon's own figures.
 * @param {Record<string, any>} state
 */
export function tellSystem(state) {
  const { heart = {}, analysis = {}, store, cluster } = state;
  say(byId("skew", HTMLElement), milliseconds(heart.skew_ms) || "–");
  define(byId("heart-figures", HTMLElement), [
    ["beats every", milliseconds(heart.interval_ms)],
    ["beats missed", figure(heart.missed)],
  ]);
  tellContinuity(heart.continuity);
  const slow = analysis.p95_ms > ANALYSIS;
  define(byId("analysis", HTMLElement), [
    ["Analysis, median", milliseconds(analysis.p50_ms)],
    ["Analysis, p95", milliseconds(analysis.p95_ms), slow ? "bad" : "good"],
    ["Observations a second", figure(analysis.per_second)],
    ["Observations in all", figure(analysis.observations)],
  ]);
  /** @type {[string, string, string?][]} */
  const around = [];
  if (store !== undefined) {
    around.push(["Kept in", store.mode === "redis" ? "Redis" : "memory", store.mode === "redis" ? "good" : "warn"]);
    // In memory by choice there is nothing to be behind with.
    if (store.mode === "redis" || store.breaker !== "closed") {
      around.push(["Store's breaker", shown(store.breaker), store.breaker === "closed" ? "good" : "bad"]);
      around.push(["Beats not stored yet", figure(store.lag_beats), store.lag_beats > 50 ? "warn" : undefined]);
    }
  }
  if (cluster !== undefined) {
    around.push(["Led by", String(cluster.leader ?? "nobody"), cluster.leader === undefined ? "bad" : undefined]);
    around.push(["Cluster", shown(cluster.status), cluster.status === "led" ? "good" : "warn"]);
  }
  return around;
}

/** @param {number | undefined} continuity */
function tellContinuity(continuity) {
  const shownShare = continuity === undefined ? "–" : `${(Math.floor(continuity * 1e5) / 1e3).toFixed(3)} %`;
  const strong = byId("continuity", HTMLElement);
  say(strong, shownShare);
  if (continuity === undefined) return;
  const used = (1 - continuity) / (1 - CONTINUITY);
  const tone = used > 1 ? "bad" : used > 0.5 ? "warn" : "good";
  mark(strong, "data-tone", tone);
  mark(byId("budget", HTMLElement), "aria-valuenow", String(Math.round(Math.min(1, used) * 100)));
  mark(byId("budget", HTMLElement), "data-tone", tone);
  mark(byId("budget-used", SVGElement), "width", (Math.min(1, used) * 100).toFixed(1));
  const objective = `The objective is ${percent(CONTINUITY, 1)}`;
  say(byId("budget-told", HTMLElement), used > 1 ? `${objective}: missed, by ${figure(used)} times what it allows.` : `${objective}; ${percent(used)} of what it allows is used up.`);
}

/**
 * How long until then.
 * @param {number} at Milliseconds since 1970.
 */
export function until(at) {
  return seconds(Math.max(0, (at - Date.now()) / 1000));
}
