// The client of a daemon's stream, for dashboards. No dependencies; the daemon serves it at /client.js.
//
//     import { MetacogStream } from "http://127.0.0.1:8080/client.js";
//
//     const stream = new MetacogStream({ token });
//     stream.on("change", () => draw(stream.state));
//     stream.on("status", ({ detail }) => say(detail.status, detail.reason));
//     stream.open();
//
// It applies merge patches, reopens the stream with the ticket that the daemon gave it (and from the beat it knows),
// waits longer and at random after each failure, and says in words why it was cut off. From pages of another origin,
// the daemon's `auth.allowed_origins` has to list that origin.
// @ts-check

/** The subprotocol of the stream. */
export const PROTOCOL = "metacog.v1";

/**
 * Why a stream ended, or could not be opened.
 * @typedef {object} Reason
 * @property {number} code Close code of the WebSocket; 0 where none was ever opened.
 * @property {string} why What happened, in a sentence.
 * @property {string} todo What to do about it, in a sentence.
 * @property {boolean} again Whether the client tries again by itself.
 */

/**
 * `idle`: never opened. `connecting`. `open`. `waiting`: for the next attempt. `paused`: by {@link MetacogStream.pause}.
 * `ended`: for good, until it is opened with another token.
 * @typedef {"idle" | "connecting" | "open" | "waiting" | "paused" | "ended"} Status
 */

/**
 * The public state. What cannot be computed yet is absent. Its objects have no prototype, so that no agent's name
 * clashes with anything.
 * @typedef {object} State
 * @property {{ interval_ms?: number, skew_ms?: number, continuity?: number, missed?: number }} [heart]
 * @property {{ p50_ms?: number, p95_ms?: number, observations?: number, per_second?: number }} [analysis]
 * @property {{ mode: "redis" | "memory", breaker: "closed" | "half_open" | "open", lag_beats: number }} [store]
 * @property {{ status: "led" | "degraded", leader?: string }} [cluster]
 * @property {Record<string, Agent>} agents By name.
 * @property {Record<string, Insight>} insights The open ones, by id.
 */

/**
 * @typedef {object} Agent
 * @property {"idle" | "progressing" | "stuck" | "blocked" | "silent" | "degraded"} status
 * @property {number} observations
 * @property {"continue" | "verify" | "escalate" | "stop"} advice
 * @property {Partial<Record<"n" | "brier" | "ece" | "bias" | "auroc2" | "d" | "meta_d" | "m_ratio", number>>} [calibration]
 * @property {{ pattern?: string, repeats: number }} [loop]
 * @property {Partial<Record<"confidence" | "accuracy" | "latency_ms" | "errors" | "detections", number>>} [drift]
 * @property {Partial<Record<"results" | "failed" | "in_a_row" | "p50_ms" | "p95_ms" | "p99_ms" | "tokens_per_minute" |
 *     "input_tokens" | "output_tokens" | "context_fill" | "cost" | "cost_per_hour", number>>} [load]
 * @property {Partial<Record<"done" | "total" | "fraction" | "per_minute" | "eta_s", number>>} [progress]
 */

/**
 * @typedef {object} Insight
 * @property {string} kind
 * @property {"info" | "warning" | "critical"} severity
 * @property {string} [agent] Whom it concerns; the daemon itself where it is missing.
 * @property {string} since RFC 3339.
 * @property {Record<string, number | string>} evidence
 */

/**
 * @typedef {object} StreamEvents
 * @property {{ status: Status, reason?: Reason, retryMs?: number }} status
 * @property {{ session: string, intervalMs: number, maxHz: number, resumed: boolean }} hello
 * @property {{ patch: Record<string, any> | undefined, epoch: number, beat: number, at: number }} change The state
 *     changed: by this merge patch, or as a whole where there is none. `at` is in milliseconds since 1970.
 * @property {{ code: string, message: string, retryMs?: number }} trouble An `error` frame of the daemon.
 * @property {{ ticket: string | undefined }} ticket A ticket to keep for a reload of the page; `undefined`: it is used up.
 */

/**
 * @typedef {object} Options
 * @property {string | URL} [url] The daemon's address; by default where this module came from.
 * @property {string} [token] Opens the stream, once.
 * @property {string} [ticket] Reopens a stream; from an earlier `ticket` event.
 * @property {string[]} [agents] Which agents to tell of, `*` and `?` being wildcards; all where it is missing.
 * @property {number} [maxHz] Most data frames a second.
 * @property {typeof WebSocket} [WebSocket] The implementation; by default the global one.
 * @property {typeof fetch} [fetch] Asks why a stream was refused; by default the global one.
 * @property {() => number} [random] From 0 to 1; for tests.
 */

/** Milliseconds: the first wait at most, the longest wait, and how long nothing may be heard. */
const FIRST_WAIT = 500;
const LONGEST_WAIT = 15_000;
const SILENCE = 12_000;

/** @type {Readonly<Record<number, Omit<Reason, "code">>>} */
const REASONS = Object.freeze({
  1000: { why: "The stream was closed.", todo: "Reconnecting.", again: true },
  1001: { why: "The daemon is going away.", todo: "Reconnecting as soon as it, or another one, is there.", again: true },
  1002: { why: "The daemon did not understand this client.", todo: "Reload the page; a proxy may be in between.", again: false },
  1003: { why: "This client sent what is not text.", todo: "That is a mistake of the client: report it.", again: false },
  1006: { why: "The connection was lost.", todo: "Reconnecting.", again: true },
  1007: { why: "This client sent text that is not UTF-8.", todo: "That is a mistake of the client: report it.", again: false },
  1008: { why: "The daemon cut this client off: it sent too many messages, or malformed ones.", todo: "Wait a minute and connect with a new token; other programs with the same subject count too.", again: false },
  1009: { why: "This client sent a message of more than 64 KiB.", todo: "Choose fewer agents by name, or by wildcards.", again: false },
  1012: { why: "The daemon restarts.", todo: "Reconnecting as soon as it is back.", again: true },
  4401: { why: "The token has expired.", todo: "Connect with a new token.", again: false },
  4403: { why: "The token was revoked.", todo: "Ask who runs the daemon for another token.", again: false },
  4408: { why: "Nothing was taken from the daemon for half a minute: this device slept, or the network is too slow.", todo: "Reconnecting; choose fewer agents if it happens again.", again: true },
  4429: { why: "Too many streams are open for this subject.", todo: "Close another page or program that uses it, and connect again.", again: false },
});

/** What 4403 means, too: not the token is bad, but its use here. */
const CUT_OFF = Object.freeze({ why: "This stream was cut off by somebody who runs the daemon, or from this address nobody may connect.", todo: "Ask who runs the daemon.", again: false });

/**
 * What a close code means, in words.
 * @param {number} code
 * @param {string} [reason] What the daemon said beside it.
 * @returns {Reason}
 */
export function reasonOf(code, reason) {
  if (code === 4403 && reason === "cut off") return { code, ...CUT_OFF };
  const known = REASONS[code] ?? { why: `The stream was closed with code ${code}.`, todo: "Reconnecting.", again: true };
  return { code, ...known };
}

/**
 * Applies a JSON Merge Patch (RFC 7396), in place where it can.
 * @param {any} target
 * @param {any} patch
 * @returns {any}
 */
export function mergePatch(target, patch) {
  if (patch === null || typeof patch !== "object" || Array.isArray(patch)) return patch;
  const isObject = target !== null && typeof target === "object" && !Array.isArray(target);
  const result = isObject ? target : Object.create(null);
  for (const key of Object.keys(patch)) {
    const value = patch[key];
    if (value === null) delete result[key];
    else result[key] = typeof value === "object" ? mergePatch(result[key], value) : value;
  }
  return result;
}

/** A stream of a daemon's public state, kept open. */
export class MetacogStream extends EventTarget {
  /** @type {Status} */
  status = "idle";
  /** The public state as of the last frame; `undefined` before the first. @type {State | undefined} */
  state = undefined;
  /** Leadership and beat of the state. */
  epoch = 0;
  beat = 0;
  /** When that beat was, in milliseconds since 1970 by the daemon's clock. */
  at = 0;
  /** How often the stream was reopened. */
  reopened = 0;
  /** Why it is not open, where it is not. @type {Reason | undefined} */
  reason = undefined;

  /** @type {URL} */ #base;
  /** @type {string | undefined} */ #token;
  /** @type {string | undefined} */ #ticket;
  /** @type {string | undefined} */ #renewing;
  /** @type {string[] | undefined} */ #agents;
  /** @type {number | undefined} */ #maxHz;
  /** @type {WebSocket | undefined} */ #socket;
  /** @type {ReturnType<typeof setTimeout> | undefined} */ #timer;
  /** @type {ReturnType<typeof setInterval> | undefined} */ #watch;
  #heard = 0;
  #attempt = 0;
  #refusals = 0;
  #greeted = false;
  #resuming = false;
  /** @type {typeof WebSocket} */ #WebSocket;
  /** @type {typeof fetch} */ #fetch;
  /** @type {() => number} */ #random;

  /** @param {Options} [options] */
  constructor(options = {}) {
    super();
    const base = new URL(options.url ?? new URL(".", import.meta.url));
    base.protocol = base.protocol.replace(/^ws/, "http");
    if (!base.pathname.endsWith("/")) base.pathname += "/";
    this.#base = base;
    this.#token = options.token;
    this.#ticket = options.ticket;
    this.#agents = options.agents;
    this.#maxHz = options.maxHz;
    this.#WebSocket = options.WebSocket ?? globalThis.WebSocket;
    this.#fetch = options.fetch ?? ((...request) => globalThis.fetch(...request));
    this.#random = options.random ?? Math.random;
  }

  /**
   * Calls a listener at each event of a kind.
   * @template {keyof StreamEvents} K
   * @param {K} kind
   * @param {(event: CustomEvent<StreamEvents[K]>) => void} listener
   * @returns {() => void} Takes the listener away.
   */
  on(kind, listener) {
    const heard = /** @type {EventListener} */ (listener);
    this.addEventListener(kind, heard);
    return () => this.removeEventListener(kind, heard);
  }

  /** Whether frames come in. */
  get isOpen() {
    return this.status === "open";
  }

  /**
   * Opens the stream: with a new token where one is given, else with what it has.
   * @param {string} [token]
   */
  open(token) {
    if (token !== undefined) {
      this.#token = token;
      this.#useTicket(undefined);
      this.state = undefined;
    }
    this.#attempt = 0;
    this.#refusals = 0;
    this.#connect();
  }

  /** Closes the stream for good and forgets token, ticket and state. */
  close() {
    this.#hangUp();
    this.#token = undefined;
    this.#renewing = undefined;
    this.#useTicket(undefined);
    this.state = undefined;
    this.#become("idle");
  }

  /** Closes the stream for a while, as for a page that nobody sees. {@link MetacogStream.open} goes on where it was. */
  pause() {
    if (this.status === "ended" || this.status === "idle" || (this.#ticket === undefined && !this.#greeted)) return;
    this.#hangUp();
    this.#become("paused");
  }

  /**
   * Chooses agents by names and wildcards (none: all), and how many frames a second to get at most.
   * @param {{ agents?: string[], maxHz?: number }} wanted
   */
  subscribe({ agents, maxHz }) {
    this.#agents = agents;
    this.#maxHz = maxHz;
    this.#subscribe(true);
  }

  /**
   * Sends an observation, for which the token needs the scope `metacog.observe`. Refusals come as `trouble`.
   * @param {Record<string, unknown>} observation
   * @returns {boolean} Whether it was sent.
   */
  observe(observation) {
    return this.#send({ type: "observe", observation });
  }

  /**
   * Prolongs the stream with another token of the same subject, before the old one expires.
   * @param {string} token
   * @returns {boolean} Whether it was sent; a `hello` says that it was accepted, `trouble` that it was not.
   */
  auth(token) {
    this.#renewing = token;
    return this.#send({ type: "auth", token });
  }

  /**
   * Asks the daemon over HTTP, with the token, where it is known.
   * @param {string} path As `v1/agents/planner-1/calibration`.
   * @param {AbortSignal} [signal]
   * @returns {Promise<Response>}
   */
  ask(path, signal) {
    const headers = this.#token === undefined ? undefined : { authorization: `Bearer ${this.#token}` };
    return this.#fetch(new URL(path, this.#base), { headers, signal, cache: "no-store", redirect: "error" });
  }

  #connect() {
    this.#hangUp();
    const ticket = this.#ticket;
    const credential = ticket !== undefined ? `resume.${ticket}` : this.#token !== undefined ? `bearer.${this.#token}` : undefined;
    if (credential === undefined) {
      this.#end({ code: 0, why: "There is no token.", todo: "Connect with a token.", again: false });
      return;
    }
    const url = new URL("v1/stream", this.#base);
    url.protocol = url.protocol.replace(/^http/, "ws");
    // What a filtered stream knows is not what the daemon would tell differences to.
    if (ticket !== undefined && this.state !== undefined && this.#agents === undefined) {
      url.search = `?since=${this.epoch}:${this.beat}`;
    }
    this.#greeted = false;
    this.#resuming = ticket !== undefined;
    /** @type {WebSocket} */
    let socket;
    try {
      socket = new this.#WebSocket(url, [PROTOCOL, credential]);
    } catch {
      // A token that is not one cannot even be offered.
      this.#end({ code: 0, why: "This is not a token.", todo: "Paste the whole token and nothing else.", again: false });
      return;
    }
    this.#socket = socket;
    this.#become("connecting");
    this.#heard = Date.now();
    socket.onopen = () => this.#subscribe(false);
    socket.onmessage = (event) => this.#receive(socket, String(event.data));
    socket.onclose = (event) => {
      if (socket === this.#socket) this.#closed(event.code, event.reason);
    };
    this.#watch = setInterval(() => {
      if (Date.now() - this.#heard > Math.max(SILENCE, 3000 / (this.#maxHz ?? 1))) {
        this.#hangUp();
        this.#closed(1006);
      }
    }, 1000);
  }

  /** @param {boolean} always Also where it says what a new stream does anyway. */
  #subscribe(always) {
    if (!always && this.#agents === undefined && this.#maxHz === undefined) return;
    this.#send({ type: "subscribe", agents: this.#agents, max_hz: this.#maxHz });
  }

  /** @param {Record<string, unknown>} message */
  #send(message) {
    if (this.#socket?.readyState !== 1) return false;
    this.#socket.send(JSON.stringify(message));
    return true;
  }

  /** @param {WebSocket} socket @param {string} text */
  #receive(socket, text) {
    if (socket !== this.#socket) return;
    this.#heard = Date.now();
    const frame = JSON.parse(text);
    switch (frame.type) {
      case "hello":
        return this.#hello(frame);
      case "state":
        this.state = mergePatch(undefined, frame.state);
        return this.#told(frame, undefined);
      case "delta":
        if (this.state === undefined || frame.epoch !== this.epoch || frame.base !== this.beat) {
          // Not a difference to what is known: begin anew.
          this.state = undefined;
          this.#hangUp();
          return this.#closed(1006);
        }
        this.state = mergePatch(this.state, frame.patch);
        return this.#told(frame, frame.patch);
      case "error":
        if (frame.code === "auth_failed") this.#renewing = undefined;
        return this.#tell("trouble", { code: frame.code, message: frame.message, retryMs: frame.retry_ms });
      default:
        // Later daemons may say more.
        return;
    }
  }

  /** @param {{ session: string, interval_ms: number, max_hz: number, resume?: string }} frame */
  #hello(frame) {
    const { session, interval_ms: intervalMs, max_hz: maxHz } = frame;
    this.#token = this.#renewing ?? this.#token;
    this.#renewing = undefined;
    this.#useTicket(frame.resume);
    const first = !this.#greeted;
    this.#greeted = true;
    this.#refusals = 0;
    if (first) {
      if (this.#resuming) this.reopened += 1;
      this.#tell("hello", { session, intervalMs, maxHz, resumed: this.#resuming });
      this.#become("open");
    } else {
      this.#tell("hello", { session, intervalMs, maxHz, resumed: false });
    }
  }

  /** @param {{ epoch: number, beat: number, ts_ns: number }} frame @param {Record<string, any> | undefined} patch */
  #told({ epoch, beat, ts_ns }, patch) {
    this.epoch = epoch;
    this.beat = beat;
    this.at = ts_ns / 1e6;
    this.#attempt = 0;
    this.#tell("change", { patch, epoch, beat, at: this.at });
  }

  /** @param {number} code @param {string} [said] */
  async #closed(code, said) {
    this.#hangUp();
    if (this.#greeted || code !== 1006) {
      const reason = reasonOf(code, said);
      if (!reason.again) this.#end(reason);
      else if (this.#ticket !== undefined || !this.#greeted) this.#wait(reason);
      else this.#end({ ...reason, todo: "Connect with a new token.", again: false });
      return;
    }
    // The daemon refused, or was not there: browsers do not say which, so it is asked.
    this.#become("connecting");
    const attempt = this.#attempt;
    const reason = await (this.#resuming ? this.#whyNoTicket() : this.#whyNoToken());
    if (this.status !== "connecting" || this.#socket !== undefined || attempt !== this.#attempt) return;
    if (reason.again) this.#wait(reason);
    else this.#end(reason);
  }

  /** @returns {Promise<Reason>} */
  async #whyNoToken() {
    const response = await this.#probe("v1/state");
    if (response === undefined) return UNREACHABLE;
    if (response.ok || response.status === 304) {
      return { code: 0, why: "This token has opened a stream before, and each opens one.", todo: "Connect with a new token.", again: false };
    }
    if (response.status === 429 || response.status >= 500) return NOT_READY;
    const problem = await response.json().catch(() => ({}));
    const why = typeof problem.detail === "string" ? `${problem.detail[0].toUpperCase()}${problem.detail.slice(1)}.` : `The daemon answered with ${response.status}.`;
    const lacksScope = response.headers.get("www-authenticate")?.includes("insufficient_scope");
    const elsewhere = response.status === 403 ? "Ask who runs the daemon." : "Connect with a new token.";
    const todo = lacksScope ? "Connect with a token that has the scope metacog.stream." : elsewhere;
    return { code: 0, why, todo, again: false };
  }

  /** @returns {Promise<Reason>} */
  async #whyNoTicket() {
    const response = await this.#probe("readyz");
    if (response === undefined) return UNREACHABLE;
    if (!response.ok) return NOT_READY;
    // It may have come up just between the two requests.
    this.#refusals += 1;
    if (this.#refusals < 2) return NOT_READY;
    return { code: 0, why: "The stream cannot be reopened any more: the token has expired or was revoked, or the daemon has other keys now.", todo: "Connect with a new token.", again: false };
  }

  /** @param {string} path */
  async #probe(path) {
    try {
      const headers = { "if-none-match": "*", ...(path === "v1/state" && { authorization: `Bearer ${this.#token}` }) };
      return await this.#fetch(new URL(path, this.#base), { headers, cache: "no-store", redirect: "error" });
    } catch {
      return undefined;
    }
  }

  /** @param {Reason} reason */
  #wait(reason) {
    const most = Math.min(LONGEST_WAIT, FIRST_WAIT * 2 ** this.#attempt);
    // Half of it at random: many clients that were cut off at once do not come back at once.
    const retryMs = Math.round(most * (0.5 + 0.5 * this.#random()));
    this.#attempt += 1;
    this.#timer = setTimeout(() => this.#connect(), retryMs);
    this.#become("waiting", reason, retryMs);
  }

  /** @param {Reason} reason */
  #end(reason) {
    this.#hangUp();
    this.#useTicket(undefined);
    this.#become("ended", reason);
  }

  #hangUp() {
    clearTimeout(this.#timer);
    clearInterval(this.#watch);
    const socket = this.#socket;
    this.#socket = undefined;
    if (socket !== undefined && socket.readyState < 2) socket.close(1000);
  }

  /** @param {string | undefined} ticket */
  #useTicket(ticket) {
    this.#ticket = ticket === "" ? undefined : ticket;
    this.#tell("ticket", { ticket: this.#ticket });
  }

  /** @param {Status} status @param {Reason} [reason] @param {number} [retryMs] */
  #become(status, reason, retryMs) {
    this.status = status;
    if (status !== "connecting") this.reason = reason;
    this.#tell("status", { status, reason, retryMs });
  }

  /** @template {keyof StreamEvents} K @param {K} kind @param {StreamEvents[K]} detail */
  #tell(kind, detail) {
    this.dispatchEvent(new CustomEvent(kind, { detail }));
  }
}

/** @type {Reason} */
const UNREACHABLE = { code: 0, why: "The daemon cannot be reached.", todo: "Trying again; see whether it runs and the network is there.", again: true };
/** @type {Reason} */
const NOT_READY = { code: 0, why: "The daemon is starting, draining or full.", todo: "Trying again.", again: true };
