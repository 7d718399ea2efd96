// Small charts, drawn as SVG so that they follow the page's colours and size.
// @ts-check

import { html, mark, svg } from "./dom.js";
import { figure, percent } from "./words.js";

/** Side of the square in which curves are drawn, and the room around it for ticks. */
const SIDE = 200;
const ROOM = { left: 46, right: 8, top: 8, bottom: 42 };

/** @param {number} share */
const x = (share) => ROOM.left + share * SIDE;
/** @param {number} share */
const y = (share) => ROOM.top + (1 - share) * SIDE;

/**
 * A line of the last minute. Gaps are where nobody looked.
 * @param {number[]} values
 * @param {number} width
 * @param {number} height
 * @returns {{ line: string, area: string }} What goes into the `d` of two paths.
 */
export function spark(values, width, height) {
  const most = Math.max(1, ...values.filter((value) => !Number.isNaN(value)));
  const step = width / (values.length - 1);
  let line = "";
  let area = "";
  let from = -1;
  for (let i = 0; i <= values.length; i += 1) {
    if (i < values.length && !Number.isNaN(values[i])) {
      const point = `${(i * step).toFixed(1)} ${(height - 1 - (values[i] / most) * (height - 2)).toFixed(1)}`;
      line += `${from < 0 ? "M" : "L"}${point}`;
      area += from < 0 ? `M${(i * step).toFixed(1)} ${height}L${point}` : `L${point}`;
      if (from < 0) from = i;
    } else if (from >= 0) {
      area += `L${((i - 1) * step).toFixed(1)} ${height}Z`;
      from = -1;
    }
  }
  return { line, area };
}

/**
 * An empty sparkline, for {@link redrawSpark}.
 * @param {number} width
 * @param {number} height
 */
export function sparkline(width, height) {
  const box = svg("svg", { class: "spark", viewBox: `0 0 ${width} ${height}`, width, height, "aria-hidden": "true", preserveAspectRatio: "none" });
  box.append(svg("path", { class: "spark-area" }), svg("path", { class: "spark-line" }));
  return box;
}

/**
 * @param {SVGSVGElement} box
 * @param {number[]} values
 */
export function redrawSpark(box, values) {
  const { width, height } = box.viewBox.baseVal;
  const { line, area } = spark(values, width, height);
  mark(box.children[0], "d", area);
  mark(box.children[1], "d", line);
}

/**
 * @typedef {{ low: number, high: number, n: number, right: number, confidence?: number, accuracy?: number }} Bin
 * @typedef {{ threshold: number, false_alarm_rate: number, hit_rate: number }} Point
 * @typedef {{ n: number, bins: Bin[], roc: Point[] }} Curve
 */

/**
 * Wilson's interval of a share, 95 %.
 * @param {number} right
 * @param {number} n
 * @returns {[number, number]}
 */
export function wilson(right, n) {
  const z2 = 1.959964 ** 2;
  const centre = (right + z2 / 2) / (n + z2);
  const half = (Math.sqrt(z2) / (n + z2)) * Math.sqrt((right * (n - right)) / n + z2 / 4);
  return [Math.max(0, centre - half), Math.min(1, centre + half)];
}

/**
 * @param {string} label
 * @param {string} across
 * @param {string} up
 */
function frame(label, across, up) {
  const width = ROOM.left + SIDE + ROOM.right;
  const height = ROOM.top + SIDE + ROOM.bottom;
  const chart = svg("svg", { class: "chart", viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": label });
  for (const share of [0, 0.25, 0.5, 0.75, 1]) {
    chart.append(svg("path", { class: "grid", d: `M${x(share)} ${y(0)}V${y(1)}M${x(0)} ${y(share)}H${x(1)}` }));
    if (share === 0.25 || share === 0.75) continue;
    chart.append(
      svg("text", { class: "tick", x: x(share), y: y(0) + 16, "text-anchor": "middle" }, figure(share)),
      svg("text", { class: "tick", x: x(0) - 5, y: y(share) + 4.5, "text-anchor": "end" }, figure(share)),
    );
  }
  chart.append(
    svg("path", { class: "diagonal", d: `M${x(0)} ${y(0)}L${x(1)} ${y(1)}` }),
    svg("text", { class: "axis", x: x(0.5), y: y(0) + 35, "text-anchor": "middle" }, across),
    svg("text", { class: "axis", x: -y(0.5), y: 14, "text-anchor": "middle", transform: "rotate(-90)" }, up),
  );
  return chart;
}

/**
 * How often it was right (with a 95 % interval) where it was how sure. On the diagonal it is calibrated; below, it is
 * overconfident. The bars at the bottom are the numbers of claims.
 * @param {Curve} curve
 */
export function reliability(curve) {
  const bins = curve.bins.filter((bin) => bin.n > 0);
  const told = bins.map((bin) => `${percent(bin.confidence)} sure, right ${percent(bin.accuracy)} of ${bin.n}`).join("; ");
  const chart = frame(`Reliability diagram. ${told}`, "confidence", "share right");
  const most = Math.max(1, ...bins.map((bin) => bin.n));
  const points = [];
  for (const { low, n, right, confidence = 0, accuracy = 0 } of bins) {
    const [from, to] = wilson(right, n);
    const height = Math.max(1, (n / most) * 0.16 * SIDE);
    chart.append(svg("rect", { class: "claims", x: x(low) + 1.5, y: y(0) - height, width: SIDE / 10 - 3, height, rx: 1 }));
    const tone = to < confidence ? "over" : from > confidence ? "under" : "fine";
    chart.append(svg("path", { class: "interval", "data-tone": tone, d: `M${x(confidence)} ${y(from)}V${y(to)}` }));
    const title = svg("title", {}, `${percent(confidence)} sure, right ${percent(accuracy)} of ${n} (95 %: ${percent(from)} to ${percent(to)})`);
    points.push({ confidence, accuracy, dot: svg("circle", { class: "dot", "data-tone": tone, cx: x(confidence), cy: y(accuracy), r: 2.6 + 3 * Math.sqrt(n / most) }, title) });
  }
  const line = points.map(({ confidence, accuracy }, i) => `${i === 0 ? "M" : "L"}${x(confidence)} ${y(accuracy)}`).join("");
  chart.append(svg("path", { class: "curve", d: line }), ...points.map(({ dot }) => dot));
  return chart;
}

/**
 * The type-2 ROC: of its right and of its wrong claims, the share that it was at least so sure of.
 * @param {Curve} curve
 * @param {number | undefined} auroc2
 */
export function roc(curve, auroc2) {
  const area = auroc2 === undefined ? "" : ` Area ${figure(auroc2)}; one half is chance.`;
  const chart = frame(`Type-2 receiver operating characteristic.${area}`, "sure when wrong", "sure when right");
  if (curve.roc.length === 0) return chart;
  const line = curve.roc.map((point) => `L${x(point.false_alarm_rate)} ${y(point.hit_rate)}`).join("");
  chart.append(
    svg("path", { class: "under-curve", d: `M${x(0)} ${y(0)}${line}L${x(1)} ${y(0)}Z` }),
    svg("path", { class: "curve", d: `M${x(0)} ${y(0)}${line}` }),
  );
  let last = "";
  for (const { threshold, false_alarm_rate, hit_rate } of curve.roc) {
    const place = `${false_alarm_rate}:${hit_rate}`;
    if (place === last || threshold === 0) continue;
    last = place;
    const title = svg("title", {}, `${percent(threshold)} sure or more: ${percent(hit_rate)} of the right, ${percent(false_alarm_rate)} of the wrong`);
    chart.append(svg("circle", { class: "dot", cx: x(false_alarm_rate), cy: y(hit_rate), r: 3 }, title));
  }
  return chart;
}

/**
 * The bins as a table, for who cannot see the diagrams.
 * @param {Curve} curve
 */
export function binsTable(curve) {
  const head = ["Confidence", "Claims", "Right", "Share right"].map((text) => html("th", { scope: "col" }, text));
  const rows = curve.bins.filter((bin) => bin.n > 0).map((bin) => {
    const cells = [figure(bin.n), figure(bin.right), percent(bin.accuracy)].map((text) => html("td", {}, text));
    return html("tr", {}, html("th", { scope: "row" }, `${percent(bin.low)} to ${percent(bin.high)}`), ...cells);
  });
  return html("table", {}, html("thead", {}, html("tr", {}, ...head)), html("tbody", {}, ...rows));
}

/**
 * When insights were open, over the last while.
 * @param {{ insight: Record<string, any>, since: number, until: number | undefined }[]} seen
 * @param {number} now
 * @param {number} span Milliseconds.
 */
export function lanes(seen, now, span) {
  const width = 400;
  const lane = 7;
  const shown = seen.slice(0, 16).sort((a, b) => a.since - b.since);
  const height = Math.max(2, shown.length) * lane + 16;
  const chart = svg("svg", { class: "lanes", viewBox: `0 0 ${width} ${height}`, "aria-hidden": "true" });
  /** @param {number} time */
  const across = (time) => Math.max(0, Math.min(1, 1 - (now - time) / span)) * width;
  for (let tick = 0; tick <= 3; tick += 1) {
    const place = (width * tick) / 3;
    const minutes = Math.round((span * (3 - tick)) / 3 / 60_000);
    const anchor = tick === 0 ? "start" : tick === 3 ? "end" : "middle";
    chart.append(
      svg("path", { class: "grid", d: `M${place} 0V${height - 13}` }),
      svg("text", { class: "tick", x: place, y: height - 2, "text-anchor": anchor }, minutes === 0 ? "now" : `−${minutes} min`),
    );
  }
  shown.forEach(({ insight, since, until }, i) => {
    const from = across(since);
    const length = Math.max(3, across(until ?? now) - from);
    chart.append(svg("rect", { class: "bar", "data-tone": until === undefined ? insight.severity : "over", x: Math.min(from, width - 3), y: i * lane + 2, width: length, height: lane - 3, rx: 2 }));
  });
  return chart;
}
