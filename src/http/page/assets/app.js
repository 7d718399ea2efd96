// The dashboard: one stream, and the parts that show it.
// @ts-check

import { MetacogStream } from "../client.js";
import { Detail } from "./detail.js";
import { byId, define, html, mark, say } from "./dom.js";
import { Heart, tellSystem, until } from "./heart.js";
import { Agents, Insights, STATUSES } from "./model.js";
import { Session, claims, fromFragment, kept } from "./session.js";
import { SIGNS, Table } from "./table.js";
import { Timeline } from "./timeline.js";
import { figure, many, milliseconds, shown } from "./words.js";

/** Frames a second that are enough for eyes, and milliseconds after which a page out of sight pauses. */
const MAX_HZ = 5;
const OUT_OF_SIGHT = 5000;

const session0 = kept();
const stream = new MetacogStream({ maxHz: MAX_HZ, ticket: session0.ticket, token: session0.token });
const agents = new Agents();
const insights = new Insights();
const session = new Session(stream);
session.token = session0.token;
const heart = new Heart();
const detail = new Detail(stream, agents, insights);
const timeline = new Timeline(insights, choose);
const table = new Table(byId("table", HTMLElement), agents, choose);
const filter = byId("filter", HTMLInputElement);
const help = byId("help", HTMLDialogElement);

let frames = 0;
let framesLately = 0;
let drawing = false;
/** Whether the stream was open since the last second began, so that its counts are of that second. */
let watched = false;
/** The daemon's clock less this one's, milliseconds. */
let ahead = 0;

stream.on("change", ({ detail: { patch, at } }) => {
  const { state } = stream;
  if (state === undefined) return;
  ahead = at - Date.now();
  frames += 1;
  agents.update(state.agents ?? {}, patch === undefined ? undefined : (patch.agents ?? {}));
  insights.update(state.insights ?? {}, patch === undefined ? undefined : (patch.insights ?? {}), at);
  heart.beat(state.heart, at);
  if (document.body.dataset.view !== "room") {
    document.body.dataset.view = "room";
    arrange();
    timeline.draw(at);
  }
  if (patch?.insights) timeline.draw(at);
  draw();
});

/** What moves with each frame; nothing while nobody looks. */
function draw() {
  if (drawing || document.hidden) return;
  drawing = true;
  requestAnimationFrame(() => {
    drawing = false;
    if (stream.state === undefined) return;
    tellAround(tellSystem(stream.state));
    if (table.length !== agents.all.size && table.filter === "" && table.statuses.size === 0) arrange();
    else table.draw();
    detail.draw();
  });
}

/** @param {[string, string, string?][]} around */
function tellAround(around) {
  const { sub, exp } = claims(session.token);
  define(byId("around", HTMLElement), [
    ...around,
    ["Connection", stream.isOpen ? "live" : shown(stream.status), stream.isOpen ? "good" : "warn"],
    ["As", sub ?? ""],
    ["Token for", exp === undefined ? "" : until(exp * 1000)],
    ["Frames/s", stream.isOpen ? figure(framesLately) : ""],
    ["Reconnected", stream.reopened === 0 ? "" : many(stream.reopened, "time")],
    ["Beat", stream.beat.toLocaleString("en")],
    ["Its clock", Math.abs(ahead) < 2000 ? "" : `${milliseconds(Math.abs(ahead))} ${ahead > 0 ? "ahead" : "behind"}`, "warn"],
  ]);
}

/** Sorts and filters the agents, and counts them. */
function arrange() {
  table.arrange();
  const all = agents.all.size;
  say(byId("agents-told", HTMLElement), table.length === all ? figure(all) : `${figure(table.length)} of ${figure(all)}`);
  const none = byId("agents-none", HTMLElement);
  none.hidden = table.length > 0;
  say(none, all === 0 ? "No agent was heard of yet. Send observations to /v1/observations, or OpenTelemetry to /v1/traces." : "No agent matches.");
  const counts = agents.counts();
  for (const chip of byId("statuses", HTMLElement).children) {
    const status = chip.getAttribute("data-word") ?? "";
    say(chip.children[1], figure(counts[status]));
    mark(chip, "aria-pressed", String(table.statuses.has(status)));
  }
}

/** @param {string | undefined} name */
function choose(name) {
  table.chosen = name;
  detail.show(name);
  if (name !== undefined && matchMedia("(max-width: 70rem)").matches) byId("detail", HTMLElement).focus();
}

setInterval(() => {
  if (document.hidden) {
    watched = false;
    return;
  }
  framesLately = frames;
  frames = 0;
  agents.sample(watched && stream.isOpen);
  watched = stream.isOpen;
  table.sampled();
  session.tick();
  if (stream.state === undefined) return;
  if (stream.isOpen) heart.pulse();
  heart.draw();
  arrange();
  detail.draw();
  timeline.draw(Date.now() + ahead);
  const pressing = insights.open().filter(({ insight }) => insight.severity !== "info").length;
  document.title = `${pressing > 0 ? `(${pressing}) ` : ""}consciousness-system`;
}, 1000);

for (const status of STATUSES) {
  const name = html("span", { class: "chip-name" }, `${SIGNS[status]} ${status}`);
  const chip = html("button", { type: "button", class: "chip", "data-word": status, "aria-pressed": "false" }, name, html("span", { class: "number" }, "0"));
  chip.addEventListener("click", () => {
    if (!table.statuses.delete(status)) table.statuses.add(status);
    arrange();
  });
  byId("statuses", HTMLElement).append(chip);
}

filter.addEventListener("input", () => {
  table.filter = filter.value;
  byId("table", HTMLElement).scrollTop = 0;
  arrange();
});
byId("detail-close", HTMLButtonElement).addEventListener("click", () => {
  choose(undefined);
  table.focus();
});
byId("ask", HTMLButtonElement).addEventListener("click", () => help.showModal());

const pause = byId("pause", HTMLButtonElement);
pause.addEventListener("click", () => {
  session.paused = !session.paused;
  if (session.paused) stream.pause();
  else stream.open();
});
stream.on("status", ({ detail: { status } }) => {
  if (status === "open") session.paused = false;
  else draw();
  mark(pause, "aria-pressed", String(session.paused));
  say(pause, session.paused ? "Go on" : "Pause");
});

/** @type {ReturnType<typeof setTimeout> | undefined} */
let outOfSight;
document.addEventListener("visibilitychange", () => {
  clearTimeout(outOfSight);
  if (document.hidden) outOfSight = setTimeout(() => stream.pause(), OUT_OF_SIGHT);
  else if (stream.status === "paused" && !session.paused) stream.open();
  else draw();
});

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || help.open) return;
  const writing = event.target instanceof HTMLInputElement;
  if (event.key === "Escape") {
    if (writing && event.target === filter && filter.value !== "") return;
    if (detail.name === undefined) return;
    choose(undefined);
    table.focus();
  } else if (writing || document.body.dataset.view !== "room") {
    return;
  } else if (event.key === "/") {
    filter.focus();
    filter.select();
  } else if (event.key === "?") {
    help.showModal();
  } else if (event.key === "g") {
    table.focus();
  } else if (event.key === "p") {
    pause.click();
  } else {
    return;
  }
  event.preventDefault();
});

/** Opens the stream with what a link brought, or with what was kept for a reload. */
function begin() {
  const token = fromFragment();
  if (token !== undefined) session.use(token);
  else if (stream.status === "idle" && session0.ticket !== undefined) stream.open();
  else if (stream.status === "idle") byId("token", HTMLInputElement).focus();
}
addEventListener("hashchange", begin);
begin();
