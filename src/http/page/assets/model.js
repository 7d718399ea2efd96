// What is known of the agents, and which of them are shown in which order. No document in here.
// @ts-check

/** Seconds of activity that are kept of each agent. */
export const HISTORY = 60;

/**
 * @typedef {object} Agent
 * @property {string} name
 * @property {string} order Its name, with numbers so that 2 comes before 10.
 * @property {Record<string, any>} record What the public state says of it.
 * @property {Float32Array} activity Observations in each of the last seconds, a ring; NaN where nobody looked.
 * @property {number} seen Observations at the last sample.
 */

/** Statuses from the most to the least pressing. */
export const STATUSES = Object.freeze(["stuck", "blocked", "silent", "degraded", "progressing", "idle"]);
/** Advice from the most to the least drastic. */
export const ADVICE = Object.freeze(["stop", "escalate", "verify", "continue"]);

/** What each column sorts by; missing figures come last either way. @type {Readonly<Record<string, (agent: Agent, model: Agents) => number | string | undefined>>} */
const KEYS = Object.freeze({
  name: (agent) => agent.order,
  status: (agent) => rank(STATUSES, agent.record.status),
  advice: (agent) => rank(ADVICE, agent.record.advice),
  activity: (agent, model) => model.lately(agent),
  ece: (agent) => agent.record.calibration?.ece,
  loop: (agent) => (agent.record.loop?.pattern === undefined ? undefined : agent.record.loop.repeats),
  p95: (agent) => agent.record.load?.p95_ms,
  failed: (agent) => failed(agent.record),
});

/** Columns in which more, rather than less, is what one looks for first. */
export const DESCENDING = Object.freeze(["activity", "ece", "loop", "p95", "failed"]);

/**
 * @param {readonly string[]} words
 * @param {string} word
 */
function rank(words, word) {
  const found = words.indexOf(word);
  return found < 0 ? words.length : found;
}

/**
 * Share of failed results.
 * @param {Record<string, any>} record
 * @returns {number | undefined}
 */
export function failed(record) {
  const { results, failed: count } = record.load ?? {};
  return results > 0 ? count / results : undefined;
}

/**
 * A test of names: a part of the name, or the whole with wildcards; several with spaces between.
 * @param {string} text
 * @returns {(name: string) => boolean}
 */
export function matcher(text) {
  const tests = text.toLowerCase().split(/[\s,]+/).filter(Boolean).map((word) => {
    if (!/[*?]/.test(word)) return (/** @type {string} */ name) => name.includes(word);
    const pattern = word.replace(/[.+^${}()|[\]\\]/g, "\\$&").replace(/\*+/g, ".*").replaceAll("?", ".");
    const expression = new RegExp(`^${pattern}$`);
    return (/** @type {string} */ name) => expression.test(name);
  });
  return (name) => tests.length === 0 || tests.some((test) => test(name.toLowerCase()));
}

/** The agents and their recent activity. */
export class Agents {
  /** @type {Map<string, Agent>} */
  all = new Map();
  /** Where the newest second is in the rings. */
  #newest = HISTORY - 1;

  /**
   * Takes over the state, or what a patch changed of it.
   * @param {Record<string, any>} records The state's `agents`.
   * @param {Record<string, any> | undefined} patch Its patch; none: all may be new.
   */
  update(records, patch) {
    if (patch === undefined) {
      for (const name of this.all.keys()) if (!(name in records)) this.all.delete(name);
    }
    for (const name of Object.keys(patch ?? records)) {
      const record = records[name];
      const known = this.all.get(name);
      if (record === undefined) this.all.delete(name);
      else if (known) known.record = record;
      else this.all.set(name, born(name, record));
    }
  }

  /** Notes how much each agent did in the second that ends now. @param {boolean} looked Whether the stream was open throughout. */
  sample(looked) {
    this.#newest = (this.#newest + 1) % HISTORY;
    for (const agent of this.all.values()) {
      const observations = agent.record.observations ?? 0;
      agent.activity[this.#newest] = looked ? Math.max(0, observations - agent.seen) : Number.NaN;
      agent.seen = observations;
    }
  }

  /**
   * An agent's activity, the oldest second first.
   * @param {Agent} agent
   * @returns {number[]}
   */
  activity(agent) {
    return Array.from(agent.activity, (_, i) => agent.activity[(this.#newest + 1 + i) % HISTORY]);
  }

  /**
   * Observations a second over the last ten seconds.
   * @param {Agent} agent
   * @returns {number | undefined}
   */
  lately(agent) {
    let sum = 0;
    let count = 0;
    for (let i = 0; i < 10; i += 1) {
      const value = agent.activity[(this.#newest + HISTORY - i) % HISTORY];
      if (!Number.isNaN(value)) {
        sum += value;
        count += 1;
      }
    }
    return count === 0 ? undefined : sum / count;
  }

  /** How many agents there are of each status. @returns {Record<string, number>} */
  counts() {
    /** @type {Record<string, number>} */
    const counts = Object.fromEntries(STATUSES.map((status) => [status, 0]));
    for (const { record } of this.all.values()) counts[record.status] = (counts[record.status] ?? 0) + 1;
    return counts;
  }

  /**
   * The agents to show, in order.
   * @param {{ sort: string, descending: boolean, filter: string, statuses: ReadonlySet<string> }} view No statuses: all.
   * @returns {Agent[]}
   */
  select({ sort, descending, filter, statuses }) {
    const matches = matcher(filter);
    const key = KEYS[sort] ?? KEYS.name;
    /** @type {{ agent: Agent, key: number | string | undefined }[]} */
    const keyed = [];
    for (const agent of this.all.values()) {
      if ((statuses.size === 0 || statuses.has(agent.record.status)) && matches(agent.name)) {
        keyed.push({ agent, key: key(agent, this) });
      }
    }
    const sign = descending ? -1 : 1;
    keyed.sort((a, b) => {
      if (a.key !== b.key) {
        if (a.key === undefined) return 1;
        if (b.key === undefined) return -1;
        return a.key < b.key ? -sign : sign;
      }
      return a.agent.order < b.agent.order ? -1 : 1;
    });
    return keyed.map(({ agent }) => agent);
  }
}

/**
 * @param {string} name
 * @param {Record<string, any>} record
 * @returns {Agent}
 */
function born(name, record) {
  const order = name.replace(/\d+/g, (digits) => digits.padStart(12, "0"));
  return { name, order, record, activity: new Float32Array(HISTORY).fill(Number.NaN), seen: record.observations ?? 0 };
}

/** Insights, with those that this page saw end. */
export class Insights {
  /** @typedef {{ id: string, insight: Record<string, any>, since: number, until: number | undefined }} Seen */
  /** @type {Map<string, Seen>} */
  all = new Map();

  /** How long those that are over are kept, milliseconds, and how many. */
  static KEEP = 15 * 60_000;
  static MOST = 300;

  /**
   * @param {Record<string, any>} records The state's `insights`.
   * @param {Record<string, any> | undefined} patch
   * @param {number} at When that was, by the daemon's clock.
   */
  update(records, patch, at) {
    if (patch === undefined) {
      for (const seen of this.all.values()) if (!(seen.id in records)) seen.until ??= at;
    }
    for (const id of Object.keys(patch ?? records)) {
      const insight = records[id];
      const seen = this.all.get(id);
      if (insight !== undefined) this.all.set(id, { id, insight, since: Date.parse(insight.since) || at, until: undefined });
      else if (seen) seen.until ??= at;
    }
    const over = this.over();
    for (const [i, { id, until }] of over.entries()) {
      if (i >= Insights.MOST || at - (until ?? at) > Insights.KEEP) this.all.delete(id);
    }
  }

  /** The open ones, the newest first. @returns {Seen[]} */
  open() {
    return [...this.all.values()].filter((seen) => seen.until === undefined).sort((a, b) => b.since - a.since);
  }

  /** Those that are over, the last first. @returns {Seen[]} */
  over() {
    return [...this.all.values()].filter((seen) => seen.until !== undefined).sort((a, b) => (b.until ?? 0) - (a.until ?? 0));
  }
}
