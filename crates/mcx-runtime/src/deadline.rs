//! Deadlines: the header `grpc-timeout` (gRPC over HTTP/2, "Timeout"), and bodies that end when the time is over.

use std::time::Duration;

use http::{HeaderMap, HeaderValue};
use tokio::time::Instant;
use tonic::body::Body;

use crate::Refusal;
use crate::ending::{EndingBody, Side};
use crate::error::status;

/// The header in which a caller says how long it waits.
pub(crate) const GRPC_TIMEOUT: &str = "grpc-timeout";

/// Timers count no further than this; whoever waits longer waits for ever.
const LONGEST: Duration = Duration::from_hours(24 * 365);

/// When the caller of a call no longer waits for the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Deadline(Instant);

impl Deadline {
    /// The deadline so long from now.
    pub fn after(duration: Duration) -> Self {
        Self(Instant::now() + duration.min(LONGEST))
    }

    /// The moment.
    pub fn at(self) -> Instant {
        self.0
    }

    /// How long it is until then; zero where it is over.
    pub fn remaining(self) -> Duration {
        self.0.saturating_duration_since(Instant::now())
    }

    /// Whether it is over.
    pub fn is_over(self) -> bool {
        self.remaining().is_zero()
    }
}

/// A header `grpc-timeout` that is not 1 to 8 digits and a unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be 1 to 8 digits and one of the units H, M, S, m, u, n")]
pub(crate) struct MalformedTimeout;

/// How long the caller waits; `None` where it does not say.
pub(crate) fn grpc_timeout(headers: &HeaderMap) -> Result<Option<Duration>, MalformedTimeout> {
    let Some(value) = headers.get(GRPC_TIMEOUT) else { return Ok(None) };
    let text = value.to_str().map_err(|_| MalformedTimeout)?;
    let (digits, unit) = text.split_at_checked(text.len().saturating_sub(1)).ok_or(MalformedTimeout)?;
    let is_number = (1..=8).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit());
    if !is_number {
        return Err(MalformedTimeout);
    }
    let amount: u64 = digits.parse().map_err(|_| MalformedTimeout)?;
    let duration = match unit {
        "H" => Duration::from_secs(amount * 3600),
        "M" => Duration::from_secs(amount * 60),
        "S" => Duration::from_secs(amount),
        "m" => Duration::from_millis(amount),
        "u" => Duration::from_micros(amount),
        "n" => Duration::from_nanos(amount),
        _ => return Err(MalformedTimeout),
    };
    Ok(Some(duration))
}

/// The header that says so long, in the finest unit whose eight digits hold it, rounded down.
pub(crate) fn grpc_timeout_value(duration: Duration) -> HeaderValue {
    const MOST: u128 = 99_999_999;
    let units = [
        (duration.as_nanos(), 'n'),
        (duration.as_micros(), 'u'),
        (duration.as_millis(), 'm'),
        (u128::from(duration.as_secs()), 'S'),
    ];
    let (amount, unit) = units
        .into_iter()
        .find(|(amount, _)| *amount <= MOST)
        .unwrap_or((u128::from(duration.as_secs() / 3600).min(MOST), 'H'));
    HeaderValue::try_from(format!("{amount}{unit}")).expect("digits and a letter")
}

/// A body that ends with DEADLINE_EXCEEDED when the time is over.
pub(crate) fn until(deadline: Deadline, body: Body, side: Side) -> Body {
    let is_over = async move {
        tokio::time::sleep_until(deadline.at()).await;
        status(&Refusal::DeadlineExceeded)
    };
    EndingBody::wrap(body, is_over, side)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn timeout_of(text: &str) -> Result<Option<Duration>, MalformedTimeout> {
        let mut headers = HeaderMap::new();
        headers.insert(GRPC_TIMEOUT, HeaderValue::try_from(text).unwrap());
        grpc_timeout(&headers)
    }

    #[test]
    fn timeouts_of_every_unit_are_read() {
        let cases = [
            ("2H", Duration::from_secs(7200)),
            ("3M", Duration::from_secs(180)),
            ("5S", Duration::from_secs(5)),
            ("250m", Duration::from_millis(250)),
            ("99999999u", Duration::from_micros(99_999_999)),
            ("7n", Duration::from_nanos(7)),
        ];
        for (text, expected) in cases {
            assert_eq!(timeout_of(text), Ok(Some(expected)), "{text}");
        }
    }

    #[test]
    fn malformed_timeouts_are_refused() {
        for text in ["", "S", "5", "123456789S", "-1S", "+1S", "1 S", "1s", "1.5S", "\u{20}1S"] {
            assert_eq!(timeout_of(text), Err(MalformedTimeout), "{text:?} was taken for a timeout");
        }
    }

    #[test]
    fn a_timeout_that_is_passed_on_is_never_longer_than_it_was() {
        for nanos in [0_u64, 1, 99_999_999, 100_000_000, 30_000_000_000, 86_400_000_000_000, u64::MAX] {
            let duration = Duration::from_nanos(nanos);
            let mut headers = HeaderMap::new();
            headers.insert(GRPC_TIMEOUT, grpc_timeout_value(duration));
            let read = grpc_timeout(&headers).unwrap().unwrap();
            assert!(read <= duration && duration - read <= duration / 1000, "{duration:?} became {read:?}");
        }
    }
}
