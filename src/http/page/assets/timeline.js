// The timeline of insights: what is open, since when, and what it rests on, in words.
// @ts-check

import { lanes } from "./charts.js";
import { byId, html, mark, say } from "./dom.js";
import { SIGNS } from "./table.js";
import { evidence, many, says, seconds, todo } from "./words.js";

/** @typedef {import("./model.js").Insights} Insights */
/** @typedef {{ id: string, insight: Record<string, any>, since: number, until: number | undefined }} Seen */

const SEVERITIES = ["critical", "warning", "info"];
const AT_FIRST = 40;
const MORE = 100;
/** Ended ones that are shown. */
const OVER = 12;
const SPAN = 15 * 60_000;

export class Timeline {
  /** @type {Map<string, HTMLElement>} */
  #items = new Map();
  #most = AT_FIRST;
  #list = byId("insights", HTMLElement);
  #button = byId("insights-more", HTMLButtonElement);
  #chips = byId("severities", HTMLElement);
  /** Those that are shown; none: all. @type {Set<string>} */
  #severities = new Set();

  /**
   * @param {Insights} insights
   * @param {(name: string) => void} choose
   */
  constructor(insights, choose) {
    this.insights = insights;
    this.choose = choose;
    this.#button.addEventListener("click", () => {
      this.#most += MORE;
      this.draw(this.now);
    });
    this.now = 0;
    for (const severity of SEVERITIES) {
      const name = html("span", {}, `${SIGNS[severity]} ${severity}`);
      const chip = html("button", { type: "button", class: "chip", "data-word": severity, "aria-pressed": "false" }, name, html("span", { class: "number" }, "0"));
      chip.addEventListener("click", () => {
        if (!this.#severities.delete(severity)) this.#severities.add(severity);
        this.draw(this.now);
      });
      this.#chips.append(chip);
    }
  }

  /** @param {number} now By the daemon's clock, milliseconds since 1970. */
  draw(now) {
    this.now = now;
    const all = this.insights.open();
    const wantedSeverity = (/** @type {Seen} */ { insight }) => this.#severities.size === 0 || this.#severities.has(insight.severity);
    const open = all.filter(wantedSeverity);
    const over = this.insights.over().filter(wantedSeverity).slice(0, OVER);
    const shown = [...open.slice(0, this.#most), ...over];
    const wanted = new Set(shown.map(({ id }) => id));
    for (const [id, item] of this.#items) {
      if (wanted.has(id)) continue;
      item.remove();
      this.#items.delete(id);
    }
    shown.forEach((seen, i) => {
      let item = this.#items.get(seen.id);
      if (item === undefined) {
        item = this.#make(seen);
        this.#items.set(seen.id, item);
      }
      tell(item, seen, now);
      if (this.#list.children[i] !== item) this.#list.insertBefore(item, this.#list.children[i] ?? null);
    });
    say(byId("insights-told", HTMLElement), all.length === 0 ? "" : all.length.toLocaleString("en"));
    say(byId("insights-none", HTMLElement), all.length === 0 ? "Nothing stands out." : open.length === 0 ? "None of these." : "");
    this.#chips.hidden = all.length === 0;
    for (const chip of this.#chips.children) {
      const severity = chip.getAttribute("data-word") ?? "";
      mark(chip, "aria-pressed", String(this.#severities.has(severity)));
      say(chip.children[1], all.filter(({ insight }) => insight.severity === severity).length.toLocaleString("en"));
    }
    this.#button.hidden = open.length <= this.#most;
    say(this.#button, `Show more: ${many(open.length - this.#most, "insight")} left`);
    const box = byId("lanes", HTMLElement);
    box.replaceChildren(...(shown.length > 0 ? [lanes([...open, ...over], now, SPAN)] : []));
  }

  /** @param {Seen} seen */
  #make({ insight }) {
    const { agent } = insight;
    const who = agent === undefined ? html("span", { class: "who" }, "The daemon") : html("button", { type: "button", class: "who" }, agent);
    if (agent !== undefined) who.addEventListener("click", () => this.choose(agent));
    return html(
      "li",
      { class: "insight" },
      html("span", { class: "sign" }),
      html("p", { class: "what" }, who, " ", html("span", { class: "says" }), html("span", { class: "severity" })),
      html("p", { class: "evidence" }),
      html("p", { class: "help" }),
      html("p", { class: "when" }),
    );
  }
}

/**
 * @param {HTMLElement} item
 * @param {Seen} seen
 * @param {number} now
 */
function tell(item, { insight, since, until }, now) {
  const [sign, what, because, help, when] = item.children;
  mark(item, "data-tone", until === undefined ? insight.severity : "over");
  say(sign, until === undefined ? (SIGNS[insight.severity] ?? "●") : "✓");
  say(what.children[1], says(insight));
  say(what.children[2], until === undefined ? insight.severity : "over");
  say(because, `${capital(evidence(insight))}.`);
  say(help, until === undefined ? todo(insight) : "");
  const began = new Date(since).toLocaleTimeString("en-GB");
  const lasted = seconds(((until ?? now) - since) / 1000);
  say(when, until === undefined ? `since ${began}, for ${lasted}` : `lasted ${lasted}, until ${new Date(until).toLocaleTimeString("en-GB")}`);
}

/** @param {string} text */
export function capital(text) {
  return `${text.slice(0, 1).toUpperCase()}${text.slice(1)}`;
}
