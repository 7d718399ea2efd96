// The page in a real Chromium, on a real daemon.
//
//     CONSCIOUSNESS_BINARY=target/debug/consciousness-system node tests/web/browser.mjs [part of a name]
//
// Pictures are left in target/web. CHROMIUM names another browser than the one that is found.
import assert from "node:assert/strict";
import { existsSync, mkdirSync, readFileSync } from "node:fs";
import { createServer } from "node:http";
import { createRequire } from "node:module";

import { chromium } from "playwright-core";

import { Daemon, eventually, loop, token } from "./daemon.mjs";

const PICTURES = new URL("../../target/web/", import.meta.url);
const AXE = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const EXECUTABLE = process.env.CHROMIUM ?? ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"].find(existsSync);
const ARGUMENTS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"];
/** What Chromium itself logs when a daemon is away or refuses, as some parts mean it to. */
const NETWORK = /Failed to load resource|WebSocket connection to .* failed|net::ERR_/;

mkdirSync(PICTURES, { recursive: true });
const browser = await chromium.launch({ executablePath: EXECUTABLE, args: ARGUMENTS });

/** A page that notes whatever it logs, and wherever it goes. */
async function open(daemon, options = {}) {
  const context = await browser.newContext({ viewport: { width: 1440, height: 1000 }, colorScheme: "light", reducedMotion: "reduce", ...options });
  const page = await context.newPage();
  page.setDefaultTimeout(60_000);
  const said = [];
  const went = [];
  page.on("console", (message) => said.push(`${message.type()}: ${message.text()}`));
  page.on("pageerror", (error) => said.push(`error: ${error.stack}`));
  page.on("request", (request) => went.push(request.url()));
  page.on("websocket", (socket) => went.push(socket.url().replace("ws:", "http:")));
  const visit = {
    page,
    said,
    /** Opens the page with a token in the fragment. */
    async enter(bearer) {
      await page.goto(`${daemon.url}/#token=${bearer}`);
      await page.locator('#status:text("live")').waitFor();
    },
    async picture(name, more = {}) {
      await page.screenshot({ path: new URL(`${name}.png`, PICTURES).pathname, ...more });
    },
    /** Ends the visit: nothing was logged, and nobody else was asked. `loud`: the daemon was away or refused. */
    async leave({ loud = false } = {}) {
      await context.close();
      assert.deepEqual(said.filter((line) => !(loud && NETWORK.test(line))), []);
      assert.deepEqual(went.filter((url) => new URL(url).origin !== daemon.url && !url.startsWith("data:")), []);
    },
  };
  return visit;
}

async function accessible(page, what) {
  await page.evaluate(AXE);
  const { violations } = await page.evaluate(() => window.axe.run(document, { resultTypes: ["violations"] }));
  const told = violations.map(({ id, help, nodes }) => `${id}: ${help}: ${nodes.slice(0, 3).map(({ html, failureSummary }) => `${html} ${failureSummary}`).join(" | ")}`);
  assert.deepEqual(told, [], what);
}

const row = (name) => `.row[data-agent="${name}"]`;

const parts = {
  async "the door asks for a token and holds nothing"() {
    const daemon = await Daemon.start();
    const answer = await fetch(daemon.url);
    const policy = answer.headers.get("content-security-policy");
    for (const rule of ["default-src 'none'", "script-src 'self'", "style-src 'self'", "connect-src 'self'", "trusted-types 'none'"]) assert.ok(policy.includes(rule), policy);
    const visit = await open(daemon);
    const { page } = visit;
    await page.goto(daemon.url);
    await page.locator("#token:focus").waitFor();
    await accessible(page, "the door");
    await visit.picture("door");
    await page.fill("#token", token("somebody"));
    await page.keyboard.press("Enter");
    await page.locator("#agents-none:visible").waitFor();
    assert.match(await page.textContent("#agents-none"), /No agent was heard of yet/);
    assert.match(await page.textContent("#insights-none"), /Nothing stands out/);
    assert.equal(await page.inputValue("#token"), "");
    await visit.picture("empty");
    // What is kept is the tab's, and goes when one leaves.
    const storage = () => page.evaluate(() => [Object.keys(localStorage), Object.keys(sessionStorage), document.cookie]);
    assert.deepEqual(await storage(), [[], ["consciousness-system.session"], ""]);
    await page.click("#leave");
    await page.locator("#door:visible").waitFor();
    assert.deepEqual(await storage(), [[], [], ""]);
    await visit.leave();
    await daemon.stop();
  },

  async "a stuck agent shows, with what it did, in words"() {
    const daemon = await Daemon.start();
    await daemon.observe([{ agent: "calm", kind: "thought", text: "nothing to do" }]);
    const visit = await open(daemon);
    const { page } = visit;
    const frames = [];
    page.on("websocket", (socket) => socket.on("framereceived", ({ payload }) => frames.push(JSON.parse(payload))));
    await visit.enter(token("watcher"));
    assert.equal(new URL(page.url()).hash, "", "the token is out of the address");
    await page.locator(row("calm")).waitFor();
    // The page draws what a frame tells at once: it is at most two beats on. A machine may stumble, but not thrice.
    const late = [];
    for (const agent of ["looper-1", "looper-2", "looper-3"]) {
      const shown = page.evaluate((selector) => new Promise((resolve) => {
        const look = () => {
          const beat = [...document.querySelectorAll("#around dt")].find((dt) => dt.textContent === "Beat")?.nextElementSibling;
          if (document.querySelector(`${selector} [data-word="stuck"]`)) resolve(Number(beat.textContent.replaceAll(",", "")));
          else requestAnimationFrame(look);
        };
        look();
      }), row(agent));
      await daemon.observe(loop(agent));
      const beat = await shown;
      const told = frames.find((frame) => (frame.patch ?? frame.state)?.agents?.[agent]?.status === "stuck");
      late.push(beat - told.beat);
      if (late.at(-1) <= 2) break;
    }
    assert.ok(Math.min(...late) <= 2, `${late} beats late`);
    const insight = page.locator(".insight", { hasText: "looper-1" });
    await insight.getByText("Repeated the same action (search) and got the same result 4 times.").waitFor();
    await insight.getByText("Stop it, or tell it what it does not see.").waitFor();
    await insight.getByRole("button", { name: "looper-1" }).click();
    await page.locator("#detail:visible").waitFor();
    assert.match(await page.textContent("#detail-insights"), /Is stuck: repeated the same action/);
    await eventually("the title to tell", async () => /^\(\d\)/.test(await page.title()));
    await visit.leave();
    await daemon.stop();
  },

  async "keys, details, and both diagrams, in light and dark and on a phone"() {
    const daemon = await Daemon.start();
    const claims = Array.from({ length: 120 }, (_, i) => ({ agent: "forecaster", kind: "claim", claim_id: `c${i}`, confidence: [0.55, 0.75, 0.95][i % 3], correct: i % 3 === 0 ? i % 2 === 0 : i % 4 !== 0 }));
    await daemon.observe([...claims, ...loop("looper"), { agent: "planner/1", kind: "progress", done: 3, total: 9 }]);
    for (const colorScheme of ["light", "dark"]) {
      const visit = await open(daemon, { colorScheme });
      const { page } = visit;
      await visit.enter(token("reader"));
      await page.locator(row("forecaster")).waitFor();
      await page.keyboard.press("/");
      await page.locator("#filter:focus").waitFor();
      await page.keyboard.type("fore*");
      await page.locator(row("looper")).waitFor({ state: "detached" });
      assert.equal(await page.textContent("#agents-told"), "1 of 3");
      await page.fill("#filter", "");
      await page.locator("#agents-title").click();
      await page.keyboard.press("g");
      await page.keyboard.press("ArrowDown");
      await page.keyboard.press("Home");
      await page.keyboard.press("Enter");
      await page.locator('#detail-name:text("looper")').waitFor();
      await page.keyboard.press("Escape");
      await page.locator("#detail").waitFor({ state: "hidden" });
      await page.locator(`${row("looper")}:focus`).waitFor();
      await page.getByRole("columnheader", { name: "Agent" }).getByRole("button").click();
      assert.deepEqual(await page.locator(".row .name").allTextContents(), ["forecaster", "looper", "planner/1"]);
      await page.getByRole("button", { name: /stuck/ }).first().click();
      await page.locator(row("forecaster")).waitFor({ state: "detached" });
      await page.getByRole("button", { name: /stuck/ }).first().click();
      await page.locator(row("forecaster")).click();
      await page.locator("#reliability circle").nth(2).waitFor();
      assert.equal(await page.locator("#reliability circle").count(), 3);
      assert.match(await page.locator("#reliability svg").getAttribute("aria-label"), /95 % sure, right 75 % of 40/);
      assert.match(await page.locator("#roc .curve").getAttribute("d"), /L/);
      assert.match(await page.textContent("#roc-told"), /AUROC 0\.\d+/);
      await page.locator("#bins-box summary").click();
      assert.equal(await page.locator("#bins tbody tr").count(), 3);
      await page.locator("#skew-plot canvas").waitFor();
      await accessible(page, `the room, ${colorScheme}`);
      await visit.picture(`room-${colorScheme}`, { fullPage: true });
      await page.keyboard.press("?");
      await page.locator("#help").waitFor();
      await accessible(page, `the help, ${colorScheme}`);
      await page.keyboard.press("Escape");
      await visit.leave();
    }
    const visit = await open(daemon, { viewport: { width: 390, height: 844 }, hasTouch: true, colorScheme: "dark" });
    const { page } = visit;
    await visit.enter(token("walker"));
    await page.locator(row("looper")).waitFor();
    assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), "nothing sticks out");
    await accessible(page, "on a phone");
    await visit.picture("phone", { fullPage: true });
    await page.locator(row("forecaster")).click();
    await page.locator("#reliability circle").first().waitFor();
    await visit.picture("phone-detail");
    await page.locator("#detail-close").click();
    await page.locator("#detail").waitFor({ state: "hidden" });
    await visit.leave();
    await daemon.stop();
  },

  async "five thousand agents stay smooth"() {
    const daemon = await Daemon.start();
    const all = Array.from({ length: 5000 }, (_, i) => `worker-${String(i).padStart(4, "0")}`);
    const post = async (tick) => {
      for (let i = 0; i < all.length; i += 1000) await daemon.observe(all.slice(i, i + 1000).map((agent) => ({ agent, kind: "thought", text: `${tick}` })));
    };
    await post(0);
    const visit = await open(daemon);
    const { page } = visit;
    await visit.enter(token("crowd"));
    await page.locator('#agents-told:text("5,000")').waitFor();
    const rows = await page.locator(".row").count();
    assert.ok(rows > 5 && rows < 60, `${rows} rows`);
    assert.equal(await page.locator("[role=grid]").getAttribute("aria-rowcount"), "5001");
    // Frames of a drawn second while it is scrolled and everything changes.
    const drawn = page.evaluate(async () => {
      const box = document.querySelector("#table");
      const gaps = [];
      let last = performance.now();
      for (let i = 0; i < 60; i += 1) {
        box.scrollTop += 700;
        await new Promise(requestAnimationFrame);
        gaps.push(performance.now() - last);
        last = performance.now();
      }
      return gaps.sort((a, b) => a - b);
    });
    await post(1);
    const gaps = await drawn;
    console.log(`    frames while scrolling 5,000: median ${gaps[30].toFixed(1)} ms, p95 ${gaps[57].toFixed(1)} ms`);
    await page.locator("#agents").getByRole("columnheader", { name: "Agent" }).getByRole("button").click();
    await page.locator(row("worker-0000")).focus();
    await page.keyboard.press("End");
    await page.locator(`${row("worker-4999")}:focus`).waitFor();
    await page.fill("#filter", "worker-49?9");
    await page.locator('#agents-told:text("10 of 5,000")').waitFor();
    await page.fill("#filter", "");
    await visit.picture("crowd");
    await visit.leave();
    await daemon.stop();
  },

  async "a restart is survived, and a reload"() {
    let daemon = await Daemon.start({ shutdown__drain: "500ms" });
    await daemon.observe(loop("before"));
    const visit = await open(daemon);
    const { page } = visit;
    await visit.enter(token("survivor"));
    await page.locator(row("before")).waitFor();
    await page.reload();
    await page.locator(row("before")).waitFor();
    await page.reload();
    await page.locator(row("before")).waitFor();
    assert.deepEqual(visit.said, []);
    await daemon.stop();
    await page.locator("#banner:visible").waitFor();
    assert.match(await page.textContent("#why"), /restarts\. \(1012\)|cannot be reached|starting, draining/);
    assert.match(await page.textContent("#status"), /reconnecting/);
    await page.locator(row("before")).waitFor();
    await visit.picture("away");
    daemon = await daemon.again();
    await page.locator('#status:text("live")').waitFor();
    await page.locator("#banner").waitFor({ state: "hidden" });
    await daemon.observe(loop("after"));
    await page.locator(`${row("after")} [data-word="stuck"]`).waitFor();
    assert.match(await page.textContent("#around"), /Reconnected/);
    await visit.leave({ loud: true });
    await daemon.stop();
  },

  async "each way to be cut off is told, with what to do"() {
    const daemon = await Daemon.start({ limits__streams_per_sub: "1", shutdown__drain: "100ms" });
    const admin = { headers: { authorization: `Bearer ${token("operator", "metacog.admin")}` } };
    const streams = async () => (await (await fetch(`${daemon.url}/v1/streams`, admin)).json()).streams;
    // A stream that was left takes its subject's one place until the daemon has noticed.
    const gone = (subject) =>
      eventually(`${subject} to be gone`, async () => !(await streams()).some(({ sub }) => sub === subject));
    // 1012, as it is told at once.
    const restarted = await open(daemon);
    const codes = [];
    await restarted.page.exposeFunction("told", (text) => codes.push(text));
    await restarted.enter(token("one"));
    await restarted.page.evaluate(() => new MutationObserver(() => window.told(document.querySelector("#banner").textContent)).observe(document.querySelector("#banner"), { subtree: true, childList: true, characterData: true }));
    // 4429: the place of this subject is taken; when it is free, the same token still opens.
    const second = await open(daemon);
    await second.page.goto(`${daemon.url}/#token=${token("one")}`);
    await second.page.getByText("Too many streams are open for this subject. (4429)").waitFor();
    await second.page.getByText("Close another page or program that uses it, and connect again.").waitFor();
    await second.picture("too-many");
    await accessible(second.page, "cut off");
    // 4401: this token has a few seconds.
    const expiring = await open(daemon);
    await expiring.enter(token("two", "metacog.stream", 8));
    await expiring.page.getByText("The token has expired. (4401)").waitFor();
    await expiring.page.getByText("Connect with a new token.").waitFor();
    assert.equal(await expiring.page.textContent("#status"), "cut off");
    await expiring.picture("expired");
    await gone("two");
    await expiring.page.fill("#again-token", token("two"));
    await expiring.page.getByRole("button", { name: "Use it" }).click();
    await expiring.page.locator('#status:text("live")').waitFor();
    await expiring.leave();
    // Refused at the door: no scope, used before, no token at all.
    const refused = await open(daemon);
    await refused.page.goto(`${daemon.url}/#token=${token("three", "metrics.read")}`);
    await refused.page.getByText("The token lacks the scope that this needs.").waitFor();
    const used = token("four");
    await refused.page.fill("#token", used);
    await refused.page.keyboard.press("Enter");
    await refused.page.locator('#status:text("live")').waitFor();
    await refused.page.click("#leave");
    await gone("four");
    await refused.page.fill("#token", used);
    await refused.page.keyboard.press("Enter");
    await refused.page.getByText("This token has opened a stream before, and each opens one.").waitFor();
    await refused.page.fill("#token", "no token at all");
    await refused.page.keyboard.press("Enter");
    await refused.page.getByText("This is not a token.").waitFor();
    await refused.leave({ loud: true });
    // 4403: an operator closes it.
    const unwanted = await open(daemon);
    await unwanted.enter(token("unwanted"));
    const { id } = (await streams()).find(({ sub }) => sub === "unwanted");
    assert.equal((await fetch(`${daemon.url}/v1/streams/${id}`, { method: "DELETE", ...admin })).status, 204);
    await unwanted.page.getByText("This stream was cut off by somebody who runs the daemon, or from this address nobody may connect. (4403)").waitFor();
    await unwanted.page.getByText("Ask who runs the daemon.").waitFor();
    await unwanted.leave();
    // Codes that take a while to earn, on a stream of the daemon that is cut in between.
    for (const [code, why, todo] of [
      [4403, "The token was revoked. (4403)", "Ask who runs the daemon for another token."],
      [1008, "The daemon cut this client off: it sent too many messages, or malformed ones. (1008)", "Wait a minute"],
      [1009, "This client sent a message of more than 64 KiB. (1009)", "Choose fewer agents"],
    ]) {
      const cut = await open(daemon);
      let between;
      await cut.page.routeWebSocket(/\/v1\/stream/, (socket) => {
        between = socket;
        socket.connectToServer();
      });
      await cut.enter(token(`cut-${code}`));
      await between.close({ code, reason: "" });
      await cut.page.getByText(why).waitFor();
      await cut.page.getByText(todo).waitFor();
      assert.equal(await cut.page.textContent("#status"), "cut off");
      await cut.leave();
    }
    await daemon.stop();
    await eventually("the restart to be told", () => codes.some((text) => text.includes("The daemon restarts. (1012)") && text.includes("Reconnecting as soon as it is back.")));
    await second.leave();
    await restarted.leave({ loud: true });
  },

  async "out of sight it pauses, and a token is prolonged"() {
    const daemon = await Daemon.start();
    const visit = await open(daemon);
    const { page } = visit;
    const sockets = [];
    page.on("websocket", (socket) => sockets.push(socket));
    await visit.enter(token("sleeper", "metacog.stream", 200));
    await page.getByText(/The token expires in/).waitFor();
    await page.fill("#again-token", token("sleeper"));
    await page.getByRole("button", { name: "Use it" }).click();
    await page.locator("#banner").waitFor({ state: "hidden" });
    assert.equal(sockets.length, 1, "the same stream goes on");
    const hide = (hidden) => page.evaluate((hidden) => {
      Object.defineProperty(document, "hidden", { configurable: true, get: () => hidden });
      document.dispatchEvent(new Event("visibilitychange"));
    }, hidden);
    await hide(true);
    await eventually("the stream to pause", () => sockets[0].isClosed());
    await daemon.observe(loop("meanwhile"));
    await hide(false);
    await page.locator(row("meanwhile")).waitFor();
    assert.match(sockets[1].url(), /since=\d+:\d+$/);
    await page.keyboard.press("p");
    await page.locator('#status:text("paused")').waitFor();
    await page.keyboard.press("p");
    await page.locator('#status:text("live")').waitFor();
    await visit.leave();
    await daemon.stop();
  },

  async "others' pages use the library"() {
    const site = createServer((request, response) => {
      response.setHeader("content-type", "text/html");
      response.end("<!doctype html><title>another dashboard</title>");
    }).listen(0, "127.0.0.1");
    await new Promise((resolve) => site.once("listening", resolve));
    const origin = `http://127.0.0.1:${site.address().port}`;
    const daemon = await Daemon.start({ auth__allowed_origins: origin });
    await daemon.observe(loop("shared"));
    const context = await browser.newContext();
    const page = await context.newPage();
    await page.goto(origin);
    const told = await page.evaluate(async ([from, bearer]) => {
      const { MetacogStream } = await import(`${from}/client.js`);
      const stream = new MetacogStream({ token: bearer, agents: ["shar*"], maxHz: 10 });
      stream.on("hello", () => {
        stream.observe({ agent: "shared", kind: "thought", text: "from a browser" });
        stream.observe({ agent: "hidden", kind: "thought" });
      });
      const seen = new Promise((resolve) => {
        stream.on("change", () => stream.state.agents.shared?.observations === 9 && resolve({ ...stream.state.agents.shared, names: Object.keys(stream.state.agents) }));
      });
      stream.open();
      const agent = await seen;
      stream.close();
      return agent;
    }, [daemon.url, token("elsewhere", "metacog.stream metacog.observe")]);
    assert.deepEqual([told.status, told.advice, told.names], ["stuck", "escalate", ["shared"]]);
    await context.close();
    site.close();
    await daemon.stop();
  },
};

let failures = 0;
try {
  for (const [name, part] of Object.entries(parts)) {
    if (!name.includes(process.argv[2] ?? "")) continue;
    const began = Date.now();
    try {
      await part();
      console.log(`ok    ${name} (${((Date.now() - began) / 1000).toFixed(1)} s)`);
    } catch (error) {
      failures += 1;
      console.log(`FAIL  ${name}: ${error.stack}`);
    }
  }
} finally {
  await browser.close();
}
process.exit(failures === 0 ? 0 : 1);
