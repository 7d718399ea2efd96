// The token and the connection: the door, the banner that says why it was cut off, and what is kept for a reload.
// @ts-check

import { byId, say } from "./dom.js";
import { seconds } from "./words.js";

/** @typedef {import("../client.js").MetacogStream} MetacogStream */
/** @typedef {import("../client.js").Reason} Reason */
/** @typedef {{ sub?: string, exp?: number }} Claims */

/** For this tab alone, and gone with it. */
const KEPT = "consciousness-system.session";
/** Seconds before the end of a token at which another is asked for. */
const SOON = 300;

/**
 * What a token says of itself, for show: the daemon is who checks it.
 * @param {string | undefined} token
 * @returns {Claims}
 */
export function claims(token) {
  try {
    const [, payload] = (token ?? "").split(".");
    const bytes = Uint8Array.from(atob(payload.replaceAll("-", "+").replaceAll("_", "/")), (c) => c.charCodeAt(0));
    const { sub, exp } = JSON.parse(new TextDecoder().decode(bytes));
    return { sub: typeof sub === "string" ? sub : undefined, exp: typeof exp === "number" ? exp : undefined };
  } catch {
    return {};
  }
}

/** Takes a token out of the address, where a link brought one: a fragment never leaves the browser. */
export function fromFragment() {
  const token = new URLSearchParams(location.hash.slice(1)).get("token");
  if (token === null) return undefined;
  history.replaceState(null, "", location.pathname + location.search);
  return token.trim() || undefined;
}

/** @returns {{ token?: string, ticket?: string }} */
export function kept() {
  try {
    return JSON.parse(sessionStorage.getItem(KEPT) ?? "{}");
  } catch {
    return {};
  }
}

/** @param {{ token?: string, ticket?: string }} session */
export function keep(session) {
  try {
    if (session.ticket === undefined) sessionStorage.removeItem(KEPT);
    else sessionStorage.setItem(KEPT, JSON.stringify(session));
  } catch {
    // Without storage, a reload needs a new token.
  }
}

export class Session {
  /** @type {string | undefined} */
  token;
  /** @type {string | undefined} */
  #prolonging;
  /** Set by a user, or by a page that is out of sight. */
  paused = false;
  #status = byId("status", HTMLElement);

  /** @param {MetacogStream} stream */
  constructor(stream) {
    this.stream = stream;
    stream.on("status", () => this.#tell());
    stream.on("ticket", ({ detail }) => keep({ token: this.token, ticket: detail.ticket }));
    stream.on("hello", () => {
      if (this.#prolonging !== undefined) {
        this.token = this.#prolonging;
        this.#prolonging = undefined;
        keep({ ...kept(), token: this.token });
        this.#tell();
      }
    });
    stream.on("trouble", ({ detail }) => {
      if (detail.code === "auth_failed") {
        this.#prolonging = undefined;
        this.#banner({ code: 0, why: `The new token was not accepted: ${detail.message}.`, todo: "The old one still counts; use another.", again: false });
      }
    });
    for (const [form, field] of [["connect", "token"], ["again", "again-token"]]) {
      byId(form, HTMLFormElement).addEventListener("submit", (event) => {
        event.preventDefault();
        const input = byId(field, HTMLInputElement);
        this.use(input.value.trim());
        input.value = "";
      });
    }
    byId("retry", HTMLButtonElement).addEventListener("click", () => stream.open());
    byId("leave", HTMLButtonElement).addEventListener("click", () => this.leave());
  }

  /**
   * Opens the stream with a token, or prolongs the one that is open.
   * @param {string} token
   */
  use(token) {
    if (this.stream.isOpen && claims(token).sub === claims(this.token).sub) {
      this.#prolonging = token;
      this.stream.auth(token);
      return;
    }
    this.token = token;
    this.stream.open(token);
  }

  leave() {
    this.token = undefined;
    this.paused = false;
    this.stream.close();
    document.body.dataset.view = "door";
    byId("token", HTMLInputElement).focus();
  }

  /** A second has passed. */
  tick() {
    if (this.stream.isOpen) this.#tell();
  }

  #tell() {
    const { status, reason, state } = this.stream;
    const tones = { idle: "off", connecting: "wait", open: "good", waiting: "wait", paused: "off", ended: "bad" };
    const words = {
      idle: "not connected",
      connecting: this.stream.reopened > 0 || state !== undefined ? "reconnecting" : "connecting",
      open: "live",
      waiting: "reconnecting",
      paused: this.paused ? "paused" : "paused while out of sight",
      ended: "cut off",
    };
    say(this.#status, words[status]);
    this.#status.dataset.tone = tones[status];
    document.body.classList.toggle("stale", !["open", "idle"].includes(status));
    document.body.dataset.live = String(status === "open" || status === "paused");
    if (status === "ended" || status === "waiting") this.#banner(reason);
    else if (status !== "connecting") this.#banner(this.#expiring());
    const door = state === undefined && ["idle", "ended"].includes(status);
    if (door) document.body.dataset.view = "door";
  }

  /** @returns {Reason | undefined} */
  #expiring() {
    const { exp } = claims(this.token);
    const left = exp === undefined ? Number.POSITIVE_INFINITY : exp - Date.now() / 1000;
    if (!this.stream.isOpen || left > SOON) return undefined;
    return { code: 4401, why: `The token expires in ${seconds(left)}.`, todo: "Paste another of the same subject to stay connected.", again: false };
  }

  /** @param {Reason | undefined} reason */
  #banner(reason) {
    const banner = byId("banner", HTMLElement);
    banner.hidden = reason === undefined;
    if (reason === undefined) return;
    say(byId("why", HTMLElement), reason.code === 0 ? reason.why : `${reason.why} (${reason.code})`);
    say(byId("todo", HTMLElement), reason.todo);
    banner.dataset.tone = reason.again ? "wait" : this.stream.isOpen ? "warn" : "bad";
    // A stream that another page holds needs no new token.
    byId("retry", HTMLElement).hidden = !(reason.again || reason.code === 4429);
    byId("again", HTMLElement).hidden = reason.again || document.body.dataset.view === "door";
  }
}
