//! The codes a stream is closed with.

/// Why a stream ends, as its client is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Close {
    /// The daemon is draining: reconnect.
    Restart,
    /// The client broke RFC 6455.
    Protocol,
    /// A binary message.
    Binary,
    /// Text that is not UTF-8.
    NotUtf8,
    /// Sustained abuse: too many frames, or too many malformed ones.
    Policy,
    /// A message over the limit.
    TooBig,
    /// The token's time is over.
    Expired,
    /// The token or its `sub` was revoked.
    Revoked,
    /// Its address was denied, or somebody cut it off.
    CutOff,
    /// Nothing was taken for too long.
    Slow,
    /// The `sub` has too many streams open.
    TooMany,
}

impl Close {
    /// The code of the close frame.
    pub const fn code(self) -> u16 {
        match self {
            Self::Protocol => 1002,
            Self::Binary => 1003,
            Self::NotUtf8 => 1007,
            Self::Policy => 1008,
            Self::TooBig => 1009,
            Self::Restart => 1012,
            Self::Expired => 4401,
            Self::Revoked | Self::CutOff => 4403,
            Self::Slow => 4408,
            Self::TooMany => 4429,
        }
    }

    /// The reason in the close frame.
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Protocol => "protocol error",
            Self::Binary => "text frames only",
            Self::NotUtf8 => "not UTF-8",
            Self::Policy => "too many frames, or malformed ones",
            Self::TooBig => "message too large",
            Self::Restart => "draining, reconnect",
            Self::Expired => "token expired",
            Self::Revoked => "token revoked",
            Self::CutOff => "cut off",
            Self::Slow => "nothing taken for too long",
            Self::TooMany => "too many streams for this subject",
        }
    }
}
