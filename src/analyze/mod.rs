//! Floor 1: the analyzers, one room each.
//!
//! Each is incremental: a bounded cost per observation and bounded memory per agent, whatever the history. Each is
//! plain data that serialises whole, so that a restored engine goes on as if it had only blinked. None knows a clock:
//! times come with the observations and with the calls. Each judges its own kinds of insights through
//! [`crate::domain::Assessment`]; opening, updating and resolving them is the engine's.
//!
//! # All figures
//!
//! Under the names by which `/v1/state`, the stream and `analyze --json` show them; what is marked * is told by
//! `analyze` alone. Thresholds are defaults; `config/default.toml` has all of them. A figure below its minimum sample
//! is absent.
//!
//! | group | figures | over | least sample | formula, source |
//! | --- | --- | --- | --- | --- |
//! | `calibration` | `n`, `brier`, `ece`, `bias`, `auroc2`; `mce`\*, `adaptive_ece`\*, `smooth_ece`\*, `slope`\*, `scatter`\*, `murphy`\*, `stephenson`\*, `intervals`\* (95 %) | last 1,000 resolved claims | 20 | [`calibration`] |
//! | | `d`, `meta_d`, `m_ratio`; `c`\*, `m_diff`\*, `regularised`\*, `strata`\* | the same | 50; M-ratio: \|d′\| ≥ 0.1 | [`metad`] |
//! | | `waiting`\*, `expired`\*, `duplicates`\* | waiting: up to 512 (`analyze`: 32,000), 24 h | | [`calibration`] |
//! | `loop` | `pattern`, `repeats`; `analyze`: `stuck` lists every episode\* | last 64 steps of each session | | [`stuck`] |
//! | `drift` | `confidence`, `accuracy`, `latency_ms`, `errors`: the level now; `detections`. `analyze` lists the indices in place of the levels | ADWIN's own window | 32 values to find a change | [`drift`] |
//! | `load` | `p50_ms`, `p95_ms`, `p99_ms`; `p90_ms`\*, `p999_ms`\* | last 5 to 10 minutes; in `analyze` the whole recording | 1 | [`load`] |
//! | | `tokens_per_minute`, `cost_per_hour` | last minute, last hour | 1 | [`load`] |
//! | | `input_tokens`, `output_tokens`, `cost`; `results`, `failed`, `in_a_row` | the agent's life | 1 | [`load`], [`errors`] |
//! | | `context_fill` | the fullest of the sessions that run | 1 | [`load`] |
//! | `progress` | `done`, `total`, `fraction`, `per_minute`, `eta_s` | the session that reported last; the rate fades over a minute or ten steps | 2 reports | [`progress`] |
//! | `cadence`\* | `median_s`, `expected_s`, `quiet_s`, `open_calls`, `finished` | last 64 pauses | 16 | [`silence`] |
//! | `heart`, `analysis`, `store` | the daemon's own | last 600 beats, last 10 s | 1 | [`vitals`] |
//!
//! # All insights
//!
//! | insight | opens | resolves | severity | by | what to do |
//! | --- | --- | --- | --- | --- | --- |
//! | `overconfident` | the 99 % interval of the bias is above 0.05 | bias under 0.03 | by bias: warning from 0.1, critical from 0.3 | [`calibration`] | have what it is sure of checked; look whether its accuracy drifted |
//! | `underconfident` | ... is below −0.05 | bias above −0.03 | warning at most | [`calibration`] | needless checks can be spared |
//! | `unreliable` | the 99 % interval of the type-2 AUROC is below 0.65 | AUROC from 0.68 on | critical when below 0.5 | [`calibration`] | do not choose by its confidence what to check |
//! | `stuck` | one of five patterns is complete | a step breaks it, or a user speaks; the session ended | critical at twice the repeats | [`stuck`] | read the last result; give it a hint, or stop it |
//! | `blocked` | 4 infrastructure failures in a row | any other result | critical at 8 | [`errors`] | look at the service, not at the agent |
//! | `error_streak` | 5 other failures in a row | 2 successes | critical at 10 | [`errors`] | look how it uses the tool, and what the tool says |
//! | `drift` | ADWIN finds a change; HDDM-A finds a rise of errors | 10 minutes after the last change | by size; for the better: info | [`drift`] | ask what changed at that time: model, prompt, tools, task |
//! | `overloaded` | p95 at 3 times the usual and 1 s; context 90 % full; a limit or budget nearly reached | all below 80 % of their limits | by size | [`load`] | give it less at once, a larger context, or more money |
//! | `stalled` | it acts, but its progress stands still for 4 of its longest steps, 5 minutes at least | progress moves, or it stops acting | critical at 4 times that | [`progress`] | look what it is busy with |
//! | `silent` | a regular agent shows no life beyond its patience, 1 minute at least (10 while a call is open) | a sign of life; after an hour it is taken to have ended | critical at 4 times that, unless a call is open | [`silence`] | `dead`: restart it; `waiting`: look at the call |
//! | `heart_skewed`, `analysis_overrun` | 5 beats in a row late by, or with analysis over, half the interval | 50 good ones | skew: critical from 500 ms | [`vitals`] | give the daemon more of its core, or less to fold |
//! | `store_degraded` | 5 beats in a row without the configured Redis | the first beat with it | warning | [`vitals`] | look at Redis |
//! | `clients_slow` | more than 10 frames given up within a minute | none within a minute | warning | [`vitals`] | look at the clients' networks |
//!
//! One insight of a kind and agent is open at a time. Which explains which (evidence `because`), how those that come
//! back soon are kept from flapping, and what advice follows, is the [engine](crate::engine)'s.

pub(crate) mod ahead;
pub mod calibration;
pub mod drift;
pub mod errors;
pub(crate) mod index;
pub mod load;
pub mod metad;
pub(crate) mod names;
pub mod progress;
pub mod silence;
pub mod stuck;
pub mod vitals;
