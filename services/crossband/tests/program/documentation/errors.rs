//! `docs/errors.md`: every reason of every package, from the comments of the protos.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::time::Duration;

use mcx_proto::FILE_DESCRIPTOR_SET;
use mcx_runtime::Refusal;
use mcx_runtime::error::{ErrorFacts, code_name};
use prost::Message;
use prost_types::{FileDescriptorProto, FileDescriptorSet};

use super::{assert_current, cell};

const HEADER: &str = "# Errors

<!-- Written from proto/mcx/*/v1/error_reason.proto: UPDATE_DOCS=1 cargo test -p crossband --test program documentation -->

Every error of Crossband carries a `google.rpc.ErrorInfo`: its `domain` is the package below, its `reason` one of the package's
names, its `metadata` the facts. `google.rpc.BadRequest` lists all fields that are wrong, as many as the trailers of an answer have
room for (the metadata `violations_left_out` counts the others); `google.rpc.RetryInfo` says when to try again. The code alone never decides what to do; the reason does.
";

/// One reason, taken out of its comment.
struct Reason {
    name: String,
    codes: String,
    when: String,
    metadata: String,
    remedy: String,
}

#[test]
fn page_of_errors_is_current() {
    let descriptors = FileDescriptorSet::decode(FILE_DESCRIPTOR_SET).unwrap();
    let mut text = HEADER.to_owned();
    let mut packages: Vec<&FileDescriptorProto> = descriptors
        .file
        .iter()
        .filter(|file| file.enum_type.iter().any(|item| item.name() == "ErrorReason"))
        .collect();
    packages.sort_by_key(|file| file.package());
    for file in packages {
        let _ = write!(
            text,
            "\n## `{}`\n\n| reason | code | when | metadata | what to do |\n| --- | --- | --- | --- | --- |\n",
            file.package()
        );
        for reason in reasons(file) {
            let Reason { name, codes, when, metadata, remedy } = reason;
            let _ = writeln!(text, "| `{name}` | {codes} | {when} | {metadata} | {remedy} |");
        }
    }
    text.push_str(&of_the_server());
    assert_current("errors.md", &text);
}

/// The refusals of the server itself, from its code: they come before any service is asked.
fn of_the_server() -> String {
    let after = Duration::from_secs(1);
    let method_not_allowed =
        Refusal::MethodNotAllowed { caller: String::new(), method: String::new(), listener: "internal" };
    let refusals = [
        (Refusal::DeadlineExceeded, "Allow more time, or ask for less."),
        (Refusal::MalformedDeadline(Vec::new()), "Send `grpc-timeout` as the gRPC specification says."),
        (Refusal::Overloaded { retry_after: after }, "Try again later."),
        (Refusal::NoIdentity, "Connect with a certificate of an MC system."),
        (method_not_allowed, "Call as somebody whom the comment of the rpc names."),
        (Refusal::AccessTokenMissing, "Send `authorization: Bearer` with an access token."),
        (Refusal::AccessTokenInvalid, "Get an access token of this MC system's identity management server."),
        (Refusal::AccessTokenExpired, "Get a new one with the refresh token."),
        (Refusal::AccessTokenRevoked, "Log in again."),
        (Refusal::AccessTokenTrustUnknown, "Try again."),
        (Refusal::ScopeMissing { scopes: String::new() }, "Ask for an access token with one of the scopes."),
        (Refusal::NoContext, "Report it."),
    ];
    let mut text = format!(
        "\n## `{}`\n\nFrom the server itself, before a service is asked.\n\n\
         | reason | code | when | metadata | what to do |\n| --- | --- | --- | --- | --- |\n",
        mcx_runtime::DOMAIN
    );
    for (refusal, remedy) in refusals {
        let retry = if refusal.retry_after().is_some() { " with `google.rpc.RetryInfo`" } else { "" };
        let keys: Vec<String> = refusal.metadata().iter().map(|(key, _)| format!("`{key}`")).collect();
        let when = match &refusal {
            Refusal::MethodNotAllowed { .. } => {
                "the policy does not let this caller call this method here".to_owned()
            }
            other => other.to_string(),
        };
        let code = code_name(refusal.code());
        let _ = writeln!(
            text,
            "| `{}` | `{code}`{retry} | {when} | {} | {remedy} |",
            refusal.reason(),
            keys.join(", ")
        );
    }
    text.push_str(
        "| `PANIC` | `INTERNAL` | a fault of a service, which was caught | `error_id`, to be found in the log | Report it. |\n",
    );
    text
}

fn reasons(file: &FileDescriptorProto) -> Vec<Reason> {
    let comments: HashMap<&[i32], &str> = file
        .source_code_info
        .iter()
        .flat_map(|info| &info.location)
        .filter_map(|location| Some((location.path.as_slice(), location.leading_comments.as_deref()?)))
        .collect();
    let (index, reasons) =
        file.enum_type.iter().enumerate().find(|(_, item)| item.name() == "ErrorReason").unwrap();
    let values = reasons.value.iter().enumerate().filter(|(_, value)| value.number() != 0);
    values
        .map(|(position, value)| {
            // FileDescriptorProto.enum_type is field 5, EnumDescriptorProto.value field 2.
            let path = [5, i32::try_from(index).unwrap(), 2, i32::try_from(position).unwrap()];
            let name = value.name().strip_prefix("ERROR_REASON_").unwrap();
            parse(name, comments.get(path.as_slice()).unwrap_or_else(|| panic!("{name} has no comment")))
        })
        .collect()
}

/// A comment is `CODE: when. Metadata: keys. What to do.`, the last two where there is something to say.
fn parse(name: &str, comment: &str) -> Reason {
    let comment = cell(comment);
    let (codes, rest) = comment.split_once(": ").unwrap_or_else(|| panic!("{name} names no code: {comment}"));
    let is_code = codes.split([' ', ',']).next().is_some_and(|code| {
        code.len() > 3 && code.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_')
    });
    assert!(is_code, "{name} begins with no code: {comment}");
    let (when, rest) = sentence(rest);
    let (metadata, remedy) = match rest.strip_prefix("Metadata: ") {
        Some(rest) => sentence(rest),
        None => ("", rest),
    };
    let codes = codes
        .split(' ')
        .map(|word| {
            if word.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_') {
                format!("`{word}`")
            } else {
                word.to_owned()
            }
        })
        .collect::<Vec<_>>()
        .join(" ");
    Reason {
        name: name.to_owned(),
        codes,
        when: when.to_owned(),
        metadata: metadata.to_owned(),
        remedy: remedy.to_owned(),
    }
}

/// The first sentence, without its full stop, and what follows.
fn sentence(text: &str) -> (&str, &str) {
    match text.split_once(". ") {
        Some((first, rest)) => (first, rest),
        None => (text.strip_suffix('.').unwrap_or(text), ""),
    }
}
