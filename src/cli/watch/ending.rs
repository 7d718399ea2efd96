//! What it means that a stream did not open, or was cut off, and what to do.

use std::time::Duration;

/// What to do about it.
#[derive(Debug, Clone, PartialEq)]
pub enum Verdict {
    /// Come again, not before so long where the daemon said so.
    Again {
        /// Why it was cut off, for people.
        why: String,
        /// How long the daemon asks to wait.
        after: Option<Duration>,
    },
    /// It is over: why, and what a person can do.
    Final(String),
}

impl Verdict {
    fn again(why: &str) -> Self {
        Self::Again { why: why.to_owned(), after: None }
    }

    fn over(why: &str) -> Self {
        Self::Final(why.to_owned())
    }
}

/// The codes that a stream is closed with; 1005 and 1006 stand for none.
pub fn closed(code: u16, reason: &str) -> Verdict {
    match code {
        1000 | 1001 | 1012 => {
            Verdict::Again { why: format!("the daemon restarts, or moves its streams elsewhere ({code})"), after: None }
        }
        1005 | 1006 => Verdict::again("the connection was lost"),
        1008 => Verdict::over(
            "the daemon ended the stream (1008): too many messages, or malformed ones, came from this token's sub. \
             Something else that uses it sends too much: give each program a sub of its own",
        ),
        1011 => Verdict::again("the daemon had an accident (1011)"),
        1013 => Verdict::again("the daemon is too busy (1013)"),
        1002 | 1003 | 1007 | 1009 => Verdict::Final(format!(
            "the daemon does not understand this program ({code}, {reason}): are both of the same version?"
        )),
        4401 => Verdict::over(
            "the token's time is over (4401): mint a new one. A token renewed in a --token-file is taken up by itself",
        ),
        4403 => Verdict::over("the token, or its sub, was revoked (4403): ask whoever runs the daemon for a new one"),
        4408 => Verdict::again("too little of the stream was taken for too long (4408): --max-hz asks for less"),
        4429 => Verdict::over(
            "too many streams are open for this token's sub (4429): close another one, or use a token with another sub",
        ),
        other => {
            Verdict::Final(format!("the daemon closed the stream for a reason not known here ({other}, {reason})"))
        }
    }
}

/// An answer other than that the stream is open.
#[derive(Debug, Clone, PartialEq)]
pub struct Refusal {
    /// The status.
    pub status: u16,
    /// What the daemon says about it; may be empty.
    pub detail: String,
    /// Seconds to wait, where it says so.
    pub retry_after: Option<u64>,
}

impl Refusal {
    /// What the refusal of a token means.
    pub fn verdict(&self) -> Verdict {
        let Self { status, detail, retry_after } = self;
        let said = if detail.is_empty() { format!("{status}") } else { format!("{status}: {detail}") };
        match status {
            429 | 500..=599 => Verdict::Again {
                why: format!("the daemon takes no streams now ({said})"),
                after: retry_after.map(Duration::from_secs),
            },
            401 if detail.contains("used before") => Verdict::Final(format!(
                "the daemon answers {said}. A token opens one stream: mint another one for each, with \
                 `consciousness-system token --sub NAME`"
            )),
            401 | 403 => Verdict::Final(format!("the daemon answers {said}")),
            400 => Verdict::Final(format!("the daemon does not understand this program ({said})")),
            _ => Verdict::Final(format!("there is no stream at this URL ({said}): is it the daemon's?")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stream::Close;

    #[test]
    fn each_code_of_the_daemon_has_its_own_words() {
        use Close::{Binary, Expired, NotUtf8, Policy, Protocol, Restart, Revoked, Slow, TooBig, TooMany};
        let all = [Protocol, Binary, NotUtf8, Policy, TooBig, Restart, Expired, Revoked, Slow, TooMany];
        let mut told = std::collections::HashSet::new();
        for close in all {
            let (code, comes_again) = (close.code(), matches!(close, Restart | Slow));
            let (again, words) = match closed(code, close.reason()) {
                Verdict::Again { why, .. } => (true, why),
                Verdict::Final(why) => (false, why),
            };
            assert_eq!(again, comes_again, "{code}");
            assert!(words.contains(&code.to_string()) && !words.contains("not known here"), "{words}");
            assert!(told.insert(words));
        }
        assert!(matches!(closed(1006, ""), Verdict::Again { .. }));
        assert!(matches!(closed(4999, "x"), Verdict::Final(why) if why.contains("4999")));
    }

    #[test]
    fn refusals_are_final_unless_the_daemon_is_only_busy() {
        let refusal = |status, detail: &str| Refusal { status, detail: detail.into(), retry_after: Some(2) };
        let busy = refusal(503, "the daemon is draining").verdict();
        assert!(matches!(busy, Verdict::Again { after: Some(after), .. } if after == Duration::from_secs(2)));
        for (status, detail, said) in [
            (401, "the token has expired", "401: the token has expired"),
            (401, "this was used before, and is good for one stream only", "mint another one"),
            (403, "the token lacks the scope that this needs", "403: the token lacks"),
            (404, "", "there is no stream at this URL (404)"),
            (200, "", "there is no stream at this URL (200)"),
        ] {
            assert!(matches!(refusal(status, detail).verdict(), Verdict::Final(why) if why.contains(said)), "{status}");
        }
    }
}
