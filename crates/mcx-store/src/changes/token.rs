//! Places in a change log, inside the service and in the hands of clients.

use std::fmt;
use std::str::FromStr;

/// The place of a change in the log of its service: 1 for the first, without gaps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Sequence(pub(super) i64);

impl fmt::Display for Sequence {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

/// Where a client resumes, as the opaque text that it is given and gives back.
///
/// The text is `1-<log>-<sequence>`: the version of the format, the id of the log and the sequence of the last change
/// told, each of the latter 16 lower case hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ResumeToken {
    pub(super) log_id: i64,
    pub(super) sequence: i64,
}

/// The text is not a resume token, or one of a later format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("malformed resume token")]
pub struct MalformedResumeToken;

impl fmt::Display for ResumeToken {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        // `x` shows the bits, so a negative id has no sign.
        write!(formatter, "1-{:016x}-{:016x}", self.log_id, self.sequence)
    }
}

impl FromStr for ResumeToken {
    type Err = MalformedResumeToken;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (log_id, sequence) =
            text.strip_prefix("1-").and_then(|rest| rest.split_once('-')).ok_or(MalformedResumeToken)?;
        let sequence = i64::try_from(hexadecimal(sequence)?).map_err(|_| MalformedResumeToken)?;
        Ok(Self { log_id: hexadecimal(log_id)?.cast_signed(), sequence })
    }
}

fn hexadecimal(digits: &str) -> Result<u64, MalformedResumeToken> {
    let well_formed =
        digits.len() == 16 && digits.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'));
    if !well_formed {
        return Err(MalformedResumeToken);
    }
    u64::from_str_radix(digits, 16).map_err(|_| MalformedResumeToken)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn token_comes_back_from_its_text() {
        for (log_id, sequence) in [(0, 0), (i64::MIN, i64::MAX), (-1, 7)] {
            let token = ResumeToken { log_id, sequence };
            assert_eq!(token.to_string().parse(), Ok(token));
        }
        let token = ResumeToken { log_id: -2, sequence: 26 };
        assert_eq!(token.to_string(), "1-fffffffffffffffe-000000000000001a");
    }

    #[test]
    fn other_texts_are_no_tokens() {
        for text in [
            "",
            "1",
            "1--",
            "1-0-0",
            "2-0000000000000000-0000000000000001",
            "1-0000000000000000-ffffffffffffffff",
            "1-0000000000000000-000000000000000A",
            "1-+000000000000000-0000000000000001",
            "1-0000000000000000-0000000000000001-",
            " 1-0000000000000000-0000000000000001",
        ] {
            assert_eq!(text.parse::<ResumeToken>(), Err(MalformedResumeToken), "{text}");
        }
    }
}
