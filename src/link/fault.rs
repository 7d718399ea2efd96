//! What can go wrong with Redis, as a closed set: labels of metrics, fields of log events.

use std::io;

use redis::{ErrorKind, RedisError, ServerErrorKind};

/// Why a call to Redis failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// No connection can be made.
    #[error("it cannot be reached")]
    Unreachable,
    /// No answer came in time.
    #[error("it does not answer in time")]
    Timeout,
    /// The connection broke; whether the command was carried out is not known.
    #[error("the connection broke")]
    Lost,
    /// Name, password or rights are wrong.
    #[error("it denies access: user, password or rights are wrong")]
    Denied,
    /// It is a replica, or was made one.
    #[error("it is read-only")]
    ReadOnly,
    /// `maxmemory` is reached.
    #[error("its memory is full")]
    OutOfMemory,
    /// It cannot write its own files and refuses commands that write.
    #[error("it cannot write to its disk")]
    Disk,
    /// It is reading its files after a start.
    #[error("it is loading its data")]
    Loading,
    /// The state is larger than a value may be.
    #[error("the state is larger than a value may be")]
    TooLarge,
    /// A process with a newer epoch writes there.
    #[error("a process with a newer epoch writes there")]
    Fenced,
    /// Anything else.
    #[error("it answers with an error")]
    Other,
}

impl Fault {
    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::Unreachable,
        Self::Timeout,
        Self::Lost,
        Self::Denied,
        Self::ReadOnly,
        Self::OutOfMemory,
        Self::Disk,
        Self::Loading,
        Self::TooLarge,
        Self::Fenced,
        Self::Other,
    ];

    /// The word for labels and logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unreachable => "unreachable",
            Self::Timeout => "timeout",
            Self::Lost => "connection_lost",
            Self::Denied => "denied",
            Self::ReadOnly => "read_only",
            Self::OutOfMemory => "out_of_memory",
            Self::Disk => "disk",
            Self::Loading => "loading",
            Self::TooLarge => "too_large",
            Self::Fenced => "fenced",
            Self::Other => "error",
        }
    }

    /// Whether the connection is of no use after it. That a server is read-only may mean that another one leads now.
    pub const fn ends_connection(self) -> bool {
        !matches!(self, Self::OutOfMemory | Self::Disk | Self::Loading | Self::TooLarge | Self::Fenced)
    }

    /// What an error of the driver means while a connection is being made.
    pub(super) fn connecting(error: &RedisError) -> Self {
        match Self::from(error) {
            Self::Lost | Self::Other if error.kind() == ErrorKind::Io => Self::Unreachable,
            fault => fault,
        }
    }
}

impl From<&RedisError> for Fault {
    fn from(error: &RedisError) -> Self {
        match error.kind() {
            ErrorKind::AuthenticationFailed | ErrorKind::Server(ServerErrorKind::NoPerm) => Self::Denied,
            ErrorKind::Server(ServerErrorKind::ReadOnly) => Self::ReadOnly,
            ErrorKind::Server(ServerErrorKind::BusyLoading) => Self::Loading,
            ErrorKind::Io if error.is_timeout() => Self::Timeout,
            ErrorKind::Io => Self::Lost,
            _ => match error.code() {
                Some("OOM") => Self::OutOfMemory,
                Some("MISCONF") => Self::Disk,
                Some("NOAUTH" | "WRONGPASS") => Self::Denied,
                _ => within_script(error.detail().unwrap_or_default()),
            },
        }
    }
}

/// Before Redis 7, what went wrong within a script is told in the text of a general error.
fn within_script(detail: &str) -> Fault {
    let tells = |code: &str| detail.contains(&format!(" -{code} ")) || detail.contains(&format!(" {code} "));
    [
        ("OOM", Fault::OutOfMemory),
        ("MISCONF", Fault::Disk),
        ("READONLY", Fault::ReadOnly),
        ("NOPERM", Fault::Denied),
        ("NOAUTH", Fault::Denied),
    ]
    .into_iter()
    .find_map(|(code, fault)| tells(code).then_some(fault))
    .unwrap_or(Fault::Other)
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::TimedOut { Self::Timeout } else { Self::Unreachable }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_a_closed_set() {
        let words: std::collections::BTreeSet<_> = Fault::ALL.map(Fault::as_str).into();
        assert_eq!(words.len(), Fault::ALL.len());
    }

    #[test]
    fn older_servers_tell_in_the_text_of_a_general_error() {
        let told = "Error running script (call to f_1): @user_script:9: @user_script: 9: -OOM command not allowed when \
                    used memory > 'maxmemory'.";
        assert_eq!(within_script(told), Fault::OutOfMemory);
        assert_eq!(within_script("script: 1: -READONLY You can't write against a read only replica."), Fault::ReadOnly);
        assert_eq!(within_script("Error running script: something else"), Fault::Other);
    }
}
