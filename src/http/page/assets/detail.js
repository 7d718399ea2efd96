// The chosen agent: what is open about it, how far its confidence can be trusted, and its figures.
// @ts-check

import { binsTable, redrawSpark, reliability, roc, sparkline } from "./charts.js";
import { byId, define, html, say } from "./dom.js";
import { failed } from "./model.js";
import { pill } from "./table.js";
import { capital } from "./timeline.js";
import { evidence, figure, many, milliseconds, percent, says, seconds, todo } from "./words.js";

/** @typedef {import("../client.js").MetacogStream} MetacogStream */
/** @typedef {import("./model.js").Agents} Agents */
/** @typedef {import("./model.js").Insights} Insights */
/** @typedef {import("./charts.js").Curve} Curve */

/** Milliseconds between two questions for the curves. */
const PACE = 2000;

export class Detail {
  /** @type {string | undefined} */
  name;
  #box = byId("detail", HTMLElement);
  #spark = sparkline(360, 44);
  /** What the curves were last asked for, as the calibration's figures then. */
  #asked = "";
  #askedAt = 0;
  /** @type {AbortController | undefined} */
  #asking;
  /** @type {Curve | undefined} */
  #curve;

  /**
   * @param {MetacogStream} stream
   * @param {Agents} agents
   * @param {Insights} insights
   */
  constructor(stream, agents, insights) {
    this.stream = stream;
    this.agents = agents;
    this.insights = insights;
    byId("detail-activity", HTMLElement).append(this.#spark);
  }

  /** @param {string | undefined} name */
  show(name) {
    if (this.name !== name) {
      this.#asking?.abort();
      this.#asked = "";
      this.#askedAt = 0;
      this.#curve = undefined;
      byId("reliability", HTMLElement).replaceChildren();
      byId("roc", HTMLElement).replaceChildren();
      byId("bins", HTMLElement).replaceChildren();
    }
    this.name = name;
    this.#box.hidden = name === undefined;
    document.body.classList.toggle("chosen", name !== undefined);
    this.draw();
  }

  draw() {
    if (this.name === undefined) return;
    const agent = this.agents.all.get(this.name);
    say(byId("detail-name", HTMLElement), this.name);
    const record = agent?.record ?? {};
    pill(byId("detail-status", HTMLElement), record.status);
    pill(byId("detail-advice", HTMLElement), record.advice);
    const open = this.insights.open().filter(({ insight }) => insight.agent === this.name);
    const list = byId("detail-insights", HTMLElement);
    while (list.children.length > open.length) list.lastElementChild?.remove();
    while (list.children.length < open.length) list.append(html("li"));
    open.forEach(({ insight }, i) => {
      const item = list.children[i];
      item.setAttribute("data-tone", insight.severity);
      say(item, `${capital(says(insight))}: ${evidence(insight)}. ${todo(insight)}`);
    });
    if (agent === undefined) {
      define(byId("detail-figures", HTMLElement), [["State", "not known any more"]]);
      return;
    }
    redrawSpark(this.#spark, this.agents.activity(agent));
    define(byId("detail-figures", HTMLElement), figures(record));
    this.#calibration(record.calibration);
  }

  /** @param {Record<string, any> | undefined} calibration */
  #calibration(calibration) {
    const none = byId("detail-none", HTMLElement);
    const charts = byId("detail-charts", HTMLElement);
    const [box, n] = [byId("bins-box", HTMLElement), calibration?.n ?? 0];
    charts.hidden = box.hidden = n === 0 || this.#curve === undefined;
    none.hidden = n > 0;
    say(none, "It has not said yet how sure it is, or not learned whether it was right.");
    if (n === 0) return;
    const { ece, bias, brier, auroc2, m_ratio } = calibration ?? {};
    const which = bias > 0.02 ? "surer than right" : bias < -0.02 ? "less sure than right" : "hardly biased";
    const early = ece === undefined ? ": too few for figures" : `. ECE ${figure(ece)}, Brier ${figure(brier)}, bias ${figure(bias)} (${which})`;
    say(byId("reliability-told", HTMLElement), `${many(n, "claim")}${early}.`);
    const ratio = m_ratio === undefined ? "" : `, M-ratio ${figure(m_ratio)}`;
    say(byId("roc-told", HTMLElement), auroc2 === undefined ? "It needs more claims, right ones and wrong ones." : `AUROC ${figure(auroc2)}${ratio}. One half is chance.`);
    this.#ask(JSON.stringify([n, ece, bias, brier, auroc2]), auroc2);
  }

  /**
   * Asks for the curves, when the figures have moved.
   * @param {string} figuresNow
   * @param {number | undefined} auroc2
   */
  async #ask(figuresNow, auroc2) {
    const now = Date.now();
    if (figuresNow === this.#asked || now - this.#askedAt < PACE || !this.stream.isOpen) return;
    const { name } = this;
    [this.#asked, this.#askedAt] = [figuresNow, now];
    this.#asking?.abort();
    this.#asking = new AbortController();
    try {
      const path = `v1/agents/${encodeURIComponent(name ?? "")}/calibration`;
      const response = await this.stream.ask(path, this.#asking.signal);
      if (!response.ok) throw new Error(`answered with ${response.status}`);
      const curve = /** @type {Curve} */ (await response.json());
      if (name !== this.name) return;
      this.#curve = curve;
      byId("reliability", HTMLElement).replaceChildren(reliability(curve));
      byId("roc", HTMLElement).replaceChildren(roc(curve, auroc2));
      byId("bins", HTMLElement).replaceChildren(binsTable(curve));
      byId("detail-charts", HTMLElement).hidden = byId("bins-box", HTMLElement).hidden = false;
    } catch {
      // Asked again in a moment: the daemon may be restarting.
      if (name === this.name) this.#asked = "";
    }
  }
}

/**
 * @param {Record<string, any>} record
 * @returns {[string, string, string?][]}
 */
function figures({ observations, load = {}, drift = {}, progress = {} }) {
  const total = progress.total === undefined ? "" : ` of ${figure(progress.total)}`;
  const latency = [load.p50_ms, load.p95_ms, load.p99_ms].map(milliseconds).join(" · ");
  const calls = load.results > 0 ? `${figure(load.results)}, ${figure(load.failed)} failed (${percent(failed({ load }))})` : "";
  return [
    ["Observations", figure(observations)],
    ["Calls", calls],
    ["Failures in a row", load.in_a_row > 0 ? figure(load.in_a_row) : "", "warn"],
    ["Latency p50 · p95 · p99", load.p50_ms === undefined ? "" : latency],
    ["Tokens a minute", figure(load.tokens_per_minute)],
    ["Tokens in · out", load.input_tokens === undefined ? "" : `${figure(load.input_tokens)} · ${figure(load.output_tokens)}`],
    ["Context window", percent(load.context_fill), load.context_fill > 0.8 ? "warn" : undefined],
    ["Cost", load.cost === undefined ? "" : `${figure(load.cost)}${load.cost_per_hour === undefined ? "" : `, ${figure(load.cost_per_hour)} an hour`}`],
    ["Progress", progress.done === undefined ? "" : `${figure(progress.done)}${total}${progress.fraction === undefined ? "" : ` (${percent(progress.fraction)})`}`],
    ["Time to go", progress.eta_s === undefined ? "" : seconds(progress.eta_s)],
    ["Mean confidence", percent(drift.confidence)],
    ["Share right", percent(drift.accuracy)],
    ["Usual latency", milliseconds(drift.latency_ms)],
    ["Usual share of failures", percent(drift.errors)],
    ["Changes of level", drift.detections > 0 ? figure(drift.detections) : ""],
  ];
}
