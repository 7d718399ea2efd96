/**
 * What a close code means, in words.
 * @param {number} code
 * @param {string} [reason] What the daemon said beside it.
 * @returns {Reason}
 */
export function reasonOf(code: number, reason?: string): Reason;
/**
 * Applies a JSON Merge Patch (RFC 7396), in place where it can.
 * @param {any} target
 * @param {any} patch
 * @returns {any}
 */
export function mergePatch(target: any, patch: any): any;
/** The subprotocol of the stream. */
export const PROTOCOL: "metacog.v1";
/** A stream of a daemon's public state, kept open. */
export class MetacogStream extends EventTarget {
    /** @param {Options} [options] */
    constructor(options?: Options);
    /** @type {Status} */
    status: Status;
    /** The public state as of the last frame; `undefined` before the first. @type {State | undefined} */
    state: State | undefined;
    /** Leadership and beat of the state. */
    epoch: number;
    beat: number;
    /** When that beat was, in milliseconds since 1970 by the daemon's clock. */
    at: number;
    /** How often the stream was reopened. */
    reopened: number;
    /** Why it is not open, where it is not. @type {Reason | undefined} */
    reason: Reason | undefined;
    /**
     * Calls a listener at each event of a kind.
     * @template {keyof StreamEvents} K
     * @param {K} kind
     * @param {(event: CustomEvent<StreamEvents[K]>) => void} listener
     * @returns {() => void} Takes the listener away.
     */
    on<K extends keyof StreamEvents>(kind: K, listener: (event: CustomEvent<StreamEvents[K]>) => void): () => void;
    /** Whether frames come in. */
    get isOpen(): boolean;
    /**
     * Opens the stream: with a new token where one is given, else with what it has.
     * @param {string} [token]
     */
    open(token?: string): void;
    /** Closes the stream for good and forgets token, ticket and state. */
    close(): void;
    /** Closes the stream for a while, as for a page that nobody sees. {@link MetacogStream.open} goes on where it was. */
    pause(): void;
    /**
     * Chooses agents by names and wildcards (none: all), and how many frames a second to get at most.
     * @param {{ agents?: string[], maxHz?: number }} wanted
     */
    subscribe({ agents, maxHz }: {
        agents?: string[];
        maxHz?: number;
    }): void;
    /**
     * Sends an observation, for which the token needs the scope `metacog.observe`. Refusals come as `trouble`.
     * @param {Record<string, unknown>} observation
     * @returns {boolean} Whether it was sent.
     */
    observe(observation: Record<string, unknown>): boolean;
    /**
     * Prolongs the stream with another token of the same subject, before the old one expires.
     * @param {string} token
     * @returns {boolean} Whether it was sent; a `hello` says that it was accepted, `trouble` that it was not.
     */
    auth(token: string): boolean;
    /**
     * Asks the daemon over HTTP, with the token, where it is known.
     * @param {string} path As `v1/agents/planner-1/calibration`.
     * @param {AbortSignal} [signal]
     * @returns {Promise<Response>}
     */
    ask(path: string, signal?: AbortSignal): Promise<Response>;
    #private;
}
/**
 * Why a stream ended, or could not be opened.
 */
export type Reason = {
    /**
     * Close code of the WebSocket; 0 where none was ever opened.
     */
    code: number;
    /**
     * What happened, in a sentence.
     */
    why: string;
    /**
     * What to do about it, in a sentence.
     */
    todo: string;
    /**
     * Whether the client tries again by itself.
     */
    again: boolean;
};
/**
 * `idle`: never opened. `connecting`. `open`. `waiting`: for the next attempt. `paused`: by {@link MetacogStream.pause}.
 * `ended`: for good, until it is opened with another token.
 */
export type Status = "idle" | "connecting" | "open" | "waiting" | "paused" | "ended";
/**
 * The public state. What cannot be computed yet is absent. Its objects have no prototype, so that no agent's name
 * clashes with anything.
 */
export type State = {
    heart?: {
        interval_ms?: number;
        skew_ms?: number;
        continuity?: number;
        missed?: number;
    } | undefined;
    analysis?: {
        p50_ms?: number;
        p95_ms?: number;
        observations?: number;
        per_second?: number;
    } | undefined;
    store?: {
        mode: "redis" | "memory";
        breaker: "closed" | "half_open" | "open";
        lag_beats: number;
    } | undefined;
    cluster?: {
        status: "led" | "degraded";
        leader?: string;
    } | undefined;
    /**
     * By name.
     */
    agents: Record<string, Agent>;
    /**
     * The open ones, by id.
     */
    insights: Record<string, Insight>;
};
export type Agent = {
    status: "idle" | "progressing" | "stuck" | "blocked" | "silent" | "degraded";
    observations: number;
    advice: "continue" | "verify" | "escalate" | "stop";
    calibration?: Partial<Record<"d" | "n" | "brier" | "ece" | "bias" | "auroc2" | "meta_d" | "m_ratio", number>> | undefined;
    loop?: {
        pattern?: string;
        repeats: number;
    } | undefined;
    drift?: Partial<Record<"confidence" | "accuracy" | "latency_ms" | "errors" | "detections", number>> | undefined;
    load?: Partial<Record<"failed" | "results" | "in_a_row" | "p50_ms" | "p95_ms" | "p99_ms" | "tokens_per_minute" | "input_tokens" | "output_tokens" | "context_fill" | "cost" | "cost_per_hour", number>> | undefined;
    progress?: Partial<Record<"total" | "done" | "fraction" | "per_minute" | "eta_s", number>> | undefined;
};
export type Insight = {
    kind: string;
    severity: "info" | "warning" | "critical";
    /**
     * Whom it concerns; the daemon itself where it is missing.
     */
    agent?: string | undefined;
    /**
     * RFC 3339.
     */
    since: string;
    evidence: Record<string, number | string>;
};
export type StreamEvents = {
    status: {
        status: Status;
        reason?: Reason;
        retryMs?: number;
    };
    hello: {
        session: string;
        intervalMs: number;
        maxHz: number;
        resumed: boolean;
    };
    /**
     * The state
     * changed: by this merge patch, or as a whole where there is none. `at` is in milliseconds since 1970.
     */
    change: {
        patch: Record<string, any> | undefined;
        epoch: number;
        beat: number;
        at: number;
    };
    /**
     * An `error` frame of the daemon.
     */
    trouble: {
        code: string;
        message: string;
        retryMs?: number;
    };
    /**
     * A ticket to keep for a reload of the page; `undefined`: it is used up.
     */
    ticket: {
        ticket: string | undefined;
    };
};
export type Options = {
    /**
     * The daemon's address; by default where this module came from.
     */
    url?: string | URL | undefined;
    /**
     * Opens the stream, once.
     */
    token?: string | undefined;
    /**
     * Reopens a stream; from an earlier `ticket` event.
     */
    ticket?: string | undefined;
    /**
     * Which agents to tell of, `*` and `?` being wildcards; all where it is missing.
     */
    agents?: string[] | undefined;
    /**
     * Most data frames a second.
     */
    maxHz?: number | undefined;
    /**
     * The implementation; by default the global one.
     */
    WebSocket?: {
        new (url: string | URL, protocols?: string | string[]): WebSocket;
        prototype: WebSocket;
        readonly CONNECTING: 0;
        readonly OPEN: 1;
        readonly CLOSING: 2;
        readonly CLOSED: 3;
    } | undefined;
    /**
     * Asks why a stream was refused; by default the global one.
     */
    fetch?: typeof fetch | undefined;
    /**
     * From 0 to 1; for tests.
     */
    random?: (() => number) | undefined;
};
