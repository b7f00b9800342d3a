//! From our errors to gRPC statuses and back: the one place where a [`Status`] is made.
//!
//! Every service's error enum implements [`ErrorFacts`]; [`status`] turns it into a status with the details of the
//! richer error model (`google.rpc.ErrorInfo`, `BadRequest`, `RetryInfo`). A client reads them with
//! [`decode_status`]. Nothing else may construct a [`Status`]; clippy refuses it.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::time::Duration;

use mcx_types::Violation;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};
use uuid::Uuid;

/// The key under which an answer of our own mistakes carries the id to look for in the log.
pub const ERROR_ID: &str = "error_id";

/// The key under which an error tells how many violations of fields it had no room for.
pub const VIOLATIONS_LEFT_OUT: &str = "violations_left_out";

/// How many bytes of violations a status carries. It travels in the trailers of an answer, in base64 (a third more), beside its text and
/// the other facts; clients take 8 KiB of trailers (Java, C) or 16 KiB (hyper), and lose the whole answer to one byte more.
const VIOLATIONS_LIMIT: usize = 4 * 1024;

/// What the wire needs for a violation beside its two texts: three tags and three lengths.
const VIOLATION_OVERHEAD: usize = 12;

/// The longest text of an error, and the longest value of a fact, in bytes. Ours are far shorter; what another system said may not be.
const TEXT_LIMIT: usize = 512;

/// What an error says to a caller; one implementation per service, on its one error enum.
///
/// The text is that of `Display`. It reaches the caller for every code except those that stand for a mistake of ours
/// (`INTERNAL`, `UNKNOWN`, `DATA_LOSS`), whose text and causes are logged instead.
pub trait ErrorFacts: std::error::Error {
    /// Which of the sixteen codes of gRPC it is.
    fn code(&self) -> Code;

    /// The name of the value of the package's `ErrorReason` enumeration, without its prefix: `BINDING_SUSPENDED`.
    fn reason(&self) -> &'static str;

    /// The protocol package that defines the reason: `mcx.migration.v1`.
    fn domain(&self) -> &'static str;

    /// The facts, by the keys that the comment of the reason names.
    fn metadata(&self) -> Vec<(String, String)> {
        Vec::new()
    }

    /// How long to wait before asking again, where asking again may help.
    fn retry_after(&self) -> Option<Duration> {
        None
    }

    /// All fields of the request that are not as they must be.
    fn violations(&self) -> &[Violation] {
        &[]
    }
}

/// The status that tells a caller of an error.
///
/// A mistake of ours gets a fixed text and an id; the error and its causes are logged at `ERROR` under that id.
pub fn status(error: &(impl ErrorFacts + ?Sized)) -> Status {
    if matches!(error.code(), Code::Internal | Code::Unknown | Code::DataLoss) {
        let error_id = Uuid::new_v4();
        tracing::error!(
            %error_id,
            reason = error.reason(),
            domain = error.domain(),
            error = %Chain(error),
            "internal error"
        );
        return internal_status(error.reason(), error.domain(), error_id);
    }
    let mut metadata: HashMap<String, String> =
        error.metadata().into_iter().map(|(key, value)| (key, shortened(value))).collect();
    let violations = with_room(error.violations());
    let left_out = error.violations().len() - violations.len();
    if left_out > 0 {
        metadata.insert(VIOLATIONS_LEFT_OUT.to_owned(), left_out.to_string());
    }
    let mut details = ErrorDetails::with_error_info(error.reason(), error.domain(), metadata);
    if let Some(retry_after) = error.retry_after() {
        details.set_retry_info(Some(retry_after));
    }
    for violation in violations {
        let (field, description) = (violation.field.clone(), violation.description.clone());
        details.add_bad_request_violation(shortened(field), shortened(description));
    }
    build(error.code(), shortened(error.to_string()), details)
}

/// The first violations, as many as a status has room for.
fn with_room(violations: &[Violation]) -> &[Violation] {
    let mut size = 0;
    let fitting = violations.iter().take_while(|violation| {
        let texts = violation.field.len().min(TEXT_LIMIT) + violation.description.len().min(TEXT_LIMIT);
        size += texts + VIOLATION_OVERHEAD;
        size <= VIOLATIONS_LIMIT
    });
    &violations[..fitting.count()]
}

/// The text, cut where it is longer than any is to be.
fn shortened(mut text: String) -> String {
    if text.len() > TEXT_LIMIT {
        text.truncate(text.floor_char_boundary(TEXT_LIMIT - '…'.len_utf8()));
        text.push('…');
    }
    text
}

/// The answer to a call whose handler panicked, with the id under which the panic was logged.
pub(crate) fn panic_status(error_id: Uuid) -> Status {
    internal_status("PANIC", crate::DOMAIN, error_id)
}

fn internal_status(reason: &str, domain: &str, error_id: Uuid) -> Status {
    let details = ErrorDetails::with_error_info(
        reason,
        domain,
        HashMap::from([(ERROR_ID.to_owned(), error_id.to_string())]),
    );
    build(Code::Internal, format!("internal error; the log has it as {error_id}"), details)
}

#[expect(clippy::disallowed_methods, reason = "the one place where a status is made")]
fn build(code: Code, message: String, details: ErrorDetails) -> Status {
    Status::with_error_details(code, message, details)
}

/// An error and its causes, outermost first, in one line.
struct Chain<'error, E: ?Sized>(&'error E);

impl<E: std::error::Error + ?Sized> std::fmt::Display for Chain<'_, E> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}", self.0)?;
        let mut cause = self.0.source();
        while let Some(error) = cause {
            formatter.write_char(':')?;
            write!(formatter, " {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}

/// What another service answered instead of a response, taken apart.
///
/// It is for deciding what *our* error is; a peer's status is never passed through.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{} {reason}: {message}", code_name(*.code))]
pub struct RemoteError {
    /// The code.
    pub code: Code,
    /// The text, for the log.
    pub message: String,
    /// The reason, without the prefix of its enumeration; empty where the other side gave none.
    pub reason: String,
    /// The protocol package that defines the reason; empty where the other side gave none.
    pub domain: String,
    /// The facts that come with the reason.
    pub metadata: HashMap<String, String>,
    /// How long the other side asks us to wait before we ask again.
    pub retry_after: Option<Duration>,
    /// The fields of our request that were refused.
    pub violations: Vec<Violation>,
}

/// Takes a status apart that another service answered with. Details that cannot be decoded count as absent.
pub fn decode_status(status: &Status) -> RemoteError {
    let details = status.get_error_details();
    let error_info = details.error_info();
    RemoteError {
        code: code_of(status),
        message: status.message().to_owned(),
        reason: error_info.map(|info| info.reason.clone()).unwrap_or_default(),
        domain: error_info.map(|info| info.domain.clone()).unwrap_or_default(),
        metadata: error_info.map(|info| info.metadata.clone()).unwrap_or_default(),
        retry_after: details.retry_info().and_then(|info| info.retry_delay),
        violations: details
            .bad_request()
            .map(|bad_request| {
                let violation_of = |violation: &tonic_types::FieldViolation| Violation {
                    field: violation.field.clone(),
                    description: violation.description.clone(),
                };
                bad_request.field_violations.iter().map(violation_of).collect()
            })
            .unwrap_or_default(),
    }
}

/// The code of a status. A server that dies with a call under way sends none; what tonic makes of the broken connection is
/// UNKNOWN with the cause, which no status from the wire has, and means that the peer is away.
fn code_of(status: &Status) -> Code {
    match status.code() {
        Code::Unknown if std::error::Error::source(status).is_some() => Code::Unavailable,
        code => code,
    }
}

/// The name of a code as the specification of gRPC writes it, such as `DEADLINE_EXCEEDED`.
pub fn code_name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    enum Refusal {
        #[error("the request is not as it must be")]
        Invalid(Vec<Violation>),
        #[error("the partner does not answer")]
        PartnerAway,
        #[error("the store failed")]
        Store(#[source] std::io::Error),
    }

    impl ErrorFacts for Refusal {
        fn code(&self) -> Code {
            match self {
                Self::Invalid(_) => Code::InvalidArgument,
                Self::PartnerAway => Code::Unavailable,
                Self::Store(_) => Code::Internal,
            }
        }

        fn reason(&self) -> &'static str {
            match self {
                Self::Invalid(_) => "INVALID_REQUEST",
                Self::PartnerAway => "PARTNER_UNREACHABLE",
                Self::Store(_) => "STORE_FAILED",
            }
        }

        fn domain(&self) -> &'static str {
            "mcx.test.v1"
        }

        fn metadata(&self) -> Vec<(String, String)> {
            vec![("hop".to_owned(), "bravo.example".to_owned())]
        }

        fn retry_after(&self) -> Option<Duration> {
            matches!(self, Self::PartnerAway).then_some(Duration::from_secs(2))
        }

        fn violations(&self) -> &[Violation] {
            match self {
                Self::Invalid(violations) => violations,
                _ => &[],
            }
        }
    }

    #[test]
    fn a_client_reads_every_fact_that_the_server_gave() {
        let violations = vec![
            Violation { field: "impi".to_owned(), description: "is required".to_owned() },
            Violation { field: "impus[2]".to_owned(), description: "must be a sip uri".to_owned() },
        ];
        let invalid = decode_status(&status(&Refusal::Invalid(violations.clone())));
        assert_eq!(
            (invalid.code, invalid.reason.as_str(), invalid.domain.as_str()),
            (Code::InvalidArgument, "INVALID_REQUEST", "mcx.test.v1")
        );
        assert_eq!(invalid.violations, violations);
        assert_eq!(invalid.retry_after, None);

        let away = decode_status(&status(&Refusal::PartnerAway));
        assert_eq!(away.retry_after, Some(Duration::from_secs(2)));
        assert_eq!(away.metadata["hop"], "bravo.example");
        assert_eq!(away.to_string(), "UNAVAILABLE PARTNER_UNREACHABLE: the partner does not answer");
    }

    #[test]
    fn violations_are_left_out_by_their_size_and_counted() {
        let long = |number: usize| Violation {
            field: format!("users[{number}].{}", "é".repeat(1_000)),
            description: "must be shorter".to_owned(),
        };
        let short = |number: usize| Violation { field: format!("f{number}"), description: String::new() };
        for (violations, least) in
            [((0..10_000).map(long).collect::<Vec<_>>(), 7), ((0..10_000).map(short).collect(), 200)]
        {
            let refused = status(&Refusal::Invalid(violations.clone()));
            assert!(refused.details().len() < 5 * 1024, "{}", refused.details().len());
            let decoded = decode_status(&refused);
            let shown = decoded.violations.len();
            assert!(shown >= least, "{shown}");
            let left_out: usize = decoded.metadata[VIOLATIONS_LEFT_OUT].parse().unwrap();
            assert_eq!(shown + left_out, 10_000);
            assert!(
                violations[shown - 1]
                    .field
                    .starts_with(decoded.violations[shown - 1].field.trim_end_matches('…'))
            );
        }
        let few = decode_status(&status(&Refusal::Invalid((0..3).map(short).collect())));
        assert_eq!((few.violations.len(), few.metadata.get(VIOLATIONS_LEFT_OUT)), (3, None));
    }

    #[test]
    fn connection_that_breaks_under_a_call_means_that_the_peer_is_away() {
        let broken = Status::from_error("transport error".into());
        assert_eq!(broken.code(), Code::Unknown);
        assert_eq!(decode_status(&broken).code, Code::Unavailable);
        let sent = Status::from_header_map(&http::HeaderMap::from_iter([(
            http::HeaderName::from_static("grpc-status"),
            http::HeaderValue::from_static("2"),
        )]));
        assert_eq!(decode_status(&sent.unwrap()).code, Code::Unknown);
    }

    #[test]
    fn an_internal_error_never_carries_its_cause_to_the_caller() {
        let refused = status(&Refusal::Store(std::io::Error::other("password=hunter2")));
        let carried = format!("{refused:?} {}", String::from_utf8_lossy(refused.details()));
        assert!(!carried.contains("hunter2") && !carried.contains("store failed"), "{carried}");
        assert!(!carried.contains("bravo.example"), "metadata of an internal error stays here: {carried}");
        let decoded = decode_status(&refused);
        assert!(refused.message().ends_with(&decoded.metadata[ERROR_ID]));
    }

    #[test]
    fn the_log_line_of_an_internal_error_has_all_its_causes() {
        let error = Refusal::Store(std::io::Error::other("disk full"));
        assert_eq!(Chain(&error).to_string(), "the store failed: disk full");
    }

    #[test]
    fn a_status_without_details_is_decoded_with_empty_facts() {
        let bare = decode_status(&Status::from(std::io::Error::from(std::io::ErrorKind::TimedOut)));
        assert_eq!((bare.code, bare.reason.as_str()), (Code::DeadlineExceeded, ""));
    }
}
