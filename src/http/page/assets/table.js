// The table of agents. Only the rows in sight exist, however many agents there are.
// @ts-check

import { redrawSpark, sparkline } from "./charts.js";
import { html, mark, say } from "./dom.js";
import { ADVICE, DESCENDING, failed, STATUSES } from "./model.js";
import { figure, milliseconds, percent, shown } from "./words.js";

/** @typedef {import("./model.js").Agent} Agent */
/** @typedef {import("./model.js").Agents} Agents */

/** Height of a row in pixels, as the style has it, and rows beyond those in sight. */
const ROW = 38;
const SPARE = 6;

/** What each word looks like, beside its colour. @type {Readonly<Record<string, string>>} */
export const SIGNS = Object.freeze({
  stuck: "↻", blocked: "⊘", silent: "◌", degraded: "▾", progressing: "▸", idle: "–",
  stop: "■", escalate: "!", verify: "?", continue: "✓",
  critical: "▲", warning: "◆", info: "●",
});

/** @type {{ key: string, title: string, label: string, hint: string }[]} */
const COLUMNS = [
  { key: "name", title: "Agent", label: "", hint: "Its name" },
  { key: "status", title: "Status", label: "Status", hint: "What it is doing" },
  { key: "advice", title: "Advice", label: "Advice", hint: "What it should do next" },
  { key: "activity", title: "Activity", label: "", hint: "Observations a second over the last minute" },
  { key: "ece", title: "Calibration", label: "Calibration error", hint: "Expected calibration error, and which way it is off" },
  { key: "loop", title: "Loop", label: "Loop", hint: "The pattern that it repeats, and how often" },
  { key: "p95", title: "p95", label: "p95 latency", hint: "Latency that one call in twenty exceeds" },
  { key: "failed", title: "Failed", label: "Failed", hint: "Share of calls that failed" },
];

/**
 * @typedef {object} Row
 * @property {HTMLElement} element
 * @property {HTMLElement} name
 * @property {HTMLElement} status
 * @property {HTMLElement} advice
 * @property {SVGSVGElement} spark
 * @property {HTMLElement} rate
 * @property {HTMLElement} ece
 * @property {HTMLElement} loop
 * @property {HTMLElement} p95
 * @property {HTMLElement} failed
 * @property {Agent | undefined} agent
 * @property {number} sampled
 */

export class Table {
  /** @type {Agent[]} */
  #order = [];
  /** @type {Row[]} */
  #rows = [];
  /** @type {Map<string, HTMLElement>} */
  #heads = new Map();
  /** Name of the agent that the keyboard is at. @type {string | undefined} */
  #current;
  /** @type {string | undefined} */
  #chosen;
  #samples = 0;
  sort = "status";
  descending = false;
  filter = "";
  /** @type {Set<string>} */
  statuses = new Set();

  /**
   * @param {HTMLElement} box The scrolling box.
   * @param {Agents} agents
   * @param {(name: string) => void} choose
   */
  constructor(box, agents, choose) {
    this.box = box;
    this.agents = agents;
    this.choose = choose;
    this.grid = html("div", { role: "grid", "aria-label": "Agents", class: "grid-table" });
    this.head = html("div", { role: "row", class: "head", "aria-rowindex": 1 });
    for (const column of COLUMNS) this.head.append(this.#header(column));
    this.body = html("div", { role: "rowgroup", class: "rows" });
    this.grid.append(html("div", { role: "rowgroup", class: "heads" }, this.head), this.body);
    box.append(this.grid);
    box.addEventListener("scroll", () => this.draw(), { passive: true });
    new ResizeObserver(() => this.draw()).observe(box);
    this.body.addEventListener("click", (event) => {
      const row = event.target instanceof Element ? event.target.closest(".row") : null;
      const found = this.#rows.find(({ element }) => element === row);
      if (found?.agent) this.#pick(found.agent.name);
    });
    this.body.addEventListener("keydown", (event) => this.#key(event));
    this.#showSort();
  }

  /** @param {{ key: string, title: string, label: string, hint: string }} column */
  #header({ key, title, label, hint }) {
    const button = html("button", { type: "button", title: hint, "aria-label": label || undefined }, title);
    const head = html("div", { role: "columnheader", class: `c-${key}` }, button);
    button.addEventListener("click", () => {
      this.descending = this.sort === key ? !this.descending : DESCENDING.includes(key);
      this.sort = key;
      this.#showSort();
      this.box.scrollTop = 0;
      this.arrange();
    });
    this.#heads.set(key, head);
    return head;
  }

  #showSort() {
    for (const [key, head] of this.#heads) {
      mark(head, "aria-sort", key === this.sort ? (this.descending ? "descending" : "ascending") : undefined);
    }
  }

  /** How many agents are shown. */
  get length() {
    return this.#order.length;
  }

  /** Sorts and filters anew. */
  arrange() {
    this.#order = this.agents.select(this);
    this.body.style.height = `${this.#order.length * ROW}px`;
    mark(this.grid, "aria-rowcount", String(this.#order.length + 1));
    this.draw();
  }

  /** A second has passed: there is a new point in each sparkline. */
  sampled() {
    this.#samples += 1;
  }

  /** @param {string | undefined} name */
  set chosen(name) {
    this.#chosen = name;
    if (name !== undefined) this.#current = name;
    this.draw();
  }

  /** Shows the rows in sight as they are now. */
  draw() {
    const first = Math.max(0, Math.floor(this.box.scrollTop / ROW) - SPARE);
    const last = Math.min(this.#order.length, Math.ceil((this.box.scrollTop + this.box.clientHeight) / ROW) + SPARE);
    const wanted = Math.max(0, last - first);
    while (this.#rows.length < wanted) {
      const row = blankRow();
      this.#rows.push(row);
      this.body.append(row.element);
    }
    while (this.#rows.length > wanted) this.#rows.pop()?.element.remove();
    if (this.#current === undefined || !this.#order.some(({ name }) => name === this.#current)) {
      this.#current = this.#order[0]?.name;
    }
    // A row keeps its place in the document while it is in sight, so that the focus stays where it is.
    for (let index = first; index < last; index += 1) this.#fill(this.#rows[index % wanted], index);
    // Where it did not, because the box was scrolled, it follows the agent that it was at.
    const focused = document.activeElement;
    if (focused !== null && this.body.contains(focused)) {
      const row = this.#rows.find(({ agent }) => agent?.name === this.#current);
      if (row && row.element !== focused) row.element.focus({ preventScroll: true });
    }
  }

  /**
   * @param {Row} row
   * @param {number} index
   */
  #fill(row, index) {
    const agent = this.#order[index];
    const { record } = agent;
    const { element } = row;
    const fresh = row.agent !== agent;
    row.agent = agent;
    element.style.transform = `translateY(${index * ROW}px)`;
    mark(element, "aria-rowindex", String(index + 2));
    mark(element, "aria-selected", String(agent.name === this.#chosen));
    mark(element, "tabindex", agent.name === this.#current ? "0" : "-1");
    mark(element, "data-agent", agent.name);
    if (fresh) mark(row.name, "title", agent.name);
    say(row.name, agent.name);
    pill(row.status, record.status);
    pill(row.advice, record.advice);
    if (fresh || row.sampled !== this.#samples) {
      row.sampled = this.#samples;
      redrawSpark(row.spark, this.agents.activity(agent));
      const lately = this.agents.lately(agent);
      say(row.rate, lately === undefined ? "" : lately === 0 ? "0/s" : `${figure(Number(lately.toPrecision(2)))}/s`);
    }
    const { ece, bias } = record.calibration ?? {};
    say(row.ece, ece === undefined ? "" : `${ece.toFixed(2)} ${bias > 0.02 ? "over" : bias < -0.02 ? "under" : "even"}`);
    mark(row.ece, "data-tone", ece === undefined ? undefined : ece > 0.15 ? "warn" : "plain");
    const { pattern, repeats } = record.loop ?? {};
    say(row.loop, pattern === undefined ? "" : `${shown(pattern)} ×${repeats}`);
    say(row.p95, milliseconds(record.load?.p95_ms));
    const share = failed(record);
    say(row.failed, percent(share));
    mark(row.failed, "data-tone", share !== undefined && share > 0.2 ? "warn" : "plain");
  }

  /** @param {string} name */
  #pick(name) {
    this.#current = name;
    this.choose(name);
  }

  /** Moves the focus to the row that the keyboard is at. */
  focus() {
    this.draw();
    this.#rows.find(({ agent }) => agent?.name === this.#current)?.element.focus({ preventScroll: true });
  }

  /** @param {KeyboardEvent} event */
  #key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const at = this.#order.findIndex(({ name }) => name === this.#current);
    const page = Math.max(1, Math.floor(this.box.clientHeight / ROW) - 2);
    /** @type {Record<string, number>} */
    const moves = { ArrowDown: at + 1, ArrowUp: at - 1, PageDown: at + page, PageUp: at - page, Home: 0, End: this.#order.length - 1 };
    if (event.key === "Enter" || event.key === " ") {
      if (this.#current !== undefined) this.choose(this.#current);
    } else if (event.key in moves) {
      this.#moveTo(moves[event.key]);
    } else {
      return;
    }
    event.preventDefault();
  }

  /** @param {number} wanted */
  #moveTo(wanted) {
    const index = Math.max(0, Math.min(this.#order.length - 1, wanted));
    if (this.#order[index] === undefined) return;
    this.#current = this.#order[index].name;
    const above = index * ROW;
    const room = this.box.clientHeight - this.head.offsetHeight;
    if (above < this.box.scrollTop) this.box.scrollTop = above;
    else if (above + ROW > this.box.scrollTop + room) this.box.scrollTop = above + ROW - room;
    this.focus();
  }
}

/**
 * A word with its sign and colour.
 * @param {Element} element
 * @param {string | undefined} word
 */
export function pill(element, word) {
  mark(element, "data-word", word ?? "");
  say(element, word === undefined ? "" : `${SIGNS[word] ?? ""} ${shown(word)}`);
}

/** @returns {Row} */
function blankRow() {
  /** @type {Record<string, HTMLElement>} */
  const cells = {};
  const element = html("div", { role: "row", class: "row" });
  for (const { key } of COLUMNS) {
    cells[key] = html("div", { role: "gridcell", class: `c-${key}` });
    element.append(cells[key]);
  }
  /** @param {string} key @param {string} name */
  const within = (key, name) => {
    const made = html("span", { class: name });
    cells[key].append(made);
    return made;
  };
  const spark = sparkline(90, 24);
  cells.activity.append(spark);
  return {
    element,
    name: within("name", "name"),
    status: within("status", "pill"),
    advice: within("advice", "pill"),
    spark,
    rate: within("activity", "rate"),
    ece: cells.ece,
    loop: within("loop", "loop"),
    p95: cells.p95,
    failed: cells.failed,
    agent: undefined,
    sampled: -1,
  };
}

/** All words that have a sign; a test holds it complete. */
export const WORDS = [...STATUSES, ...ADVICE];
