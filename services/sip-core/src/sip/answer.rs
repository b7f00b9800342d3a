//! An answer of the registrar becomes SIP text.

use crate::app::{ChallengeOffer, RegisterAnswer, Registered};
use crate::domain::registration::Contact;
use bytes::Bytes;
use mcx_sip::{DigestChallenge, MandatoryHeaders, ResponseBuilder};
use mcx_types::Timestamp;
use std::time::{Duration, SystemTime};

/// The methods that are understood.
pub(super) const ALLOW: &str = "REGISTER, OPTIONS";

/// Writes the response to a REGISTER.
pub(super) fn encode(
    answer: &RegisterAnswer,
    mandatory: &MandatoryHeaders,
    to_tag: &str,
    service_route: &[String],
) -> Bytes {
    let response = ResponseBuilder::new(mandatory, answer.status(), to_tag);
    match answer {
        RegisterAnswer::Registered(registered) => registration(response, registered, service_route),
        RegisterAnswer::Challenge(offer) => response.header("WWW-Authenticate", &challenge(offer)),
        RegisterAnswer::IntervalTooBrief { minimum_seconds } => {
            response.header("Min-Expires", &minimum_seconds.to_string())
        }
        RegisterAnswer::BadRequest(reason) => response.header("Warning", &warning(reason)),
        RegisterAnswer::Unavailable { retry_after: wait }
        | RegisterAnswer::TimedOut { retry_after: wait } => {
            response.header("Retry-After", &retry_after(*wait))
        }
        RegisterAnswer::Forbidden | RegisterAnswer::OutOfOrder => response,
    }
    .finish()
}

/// A `Warning` of the miscellaneous kind (RFC 3261 20.43), for whoever debugs a UE.
pub(super) fn warning(text: &str) -> String {
    format!("399 sip-core \"{text}\"")
}

/// Whole seconds, at least one.
pub(super) fn retry_after(wait: Duration) -> String {
    wait.as_millis().div_ceil(1000).max(1).to_string()
}

fn challenge(offer: &ChallengeOffer) -> String {
    DigestChallenge {
        realm: offer.realm.to_string(),
        nonce: offer.nonce.clone(),
        algorithm: offer.algorithm.to_owned(),
        qop: vec!["auth".to_owned()],
        opaque: Some(offer.opaque.clone()),
        stale: offer.stale,
    }
    .to_string()
}

fn registration(
    mut response: ResponseBuilder,
    registered: &Registered,
    service_route: &[String],
) -> ResponseBuilder {
    let contacts = registered.registration.as_ref().map_or(&[][..], |registration| &registration.contacts);
    for value in contacts {
        response = response.header("Contact", &contact(value, registered.at));
    }
    let associated: Vec<String> =
        registered.associated_impus.iter().map(|impu| format!("<{impu}>")).collect();
    response = response.header("P-Associated-URI", &associated.join(", "));
    for route in service_route {
        response = response.header("Service-Route", route);
    }
    response.header("Date", &date(registered.at))
}

fn contact(contact: &Contact, now: Timestamp) -> String {
    let mut text = format!("<{}>", contact.uri);
    if let Some(instance_id) = &contact.instance_id {
        text.push_str(&format!(";+sip.instance=\"{instance_id}\""));
    }
    for (name, value) in &contact.parameters {
        match value {
            Some(value) => text.push_str(&format!(";{name}={value}")),
            None => text.push_str(&format!(";{name}")),
        }
    }
    if let Some(preference) = contact.preference_thousandths {
        text.push_str(&format!(";q={}.{:03}", preference / 1000, preference % 1000));
    }
    text.push_str(&format!(";expires={}", contact.seconds_left(now)));
    text
}

/// `SIP-date` (RFC 3261 25.1), which is the date of HTTP.
fn date(at: Timestamp) -> String {
    let since_epoch = Duration::from_micros(at.as_micros().try_into().unwrap_or_default());
    httpdate::fmt_http_date(SystemTime::UNIX_EPOCH + since_epoch)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_rfc_3261() {
        // RFC 3261 20.17.
        assert_eq!(date(Timestamp::from_micros(1_289_690_940_000_000)), "Sat, 13 Nov 2010 23:29:00 GMT");
    }

    #[test]
    fn waiting_is_rounded_up_to_whole_seconds() {
        assert_eq!(retry_after(Duration::from_millis(1)), "1");
        assert_eq!(retry_after(Duration::ZERO), "1");
        assert_eq!(retry_after(Duration::from_millis(2001)), "3");
    }
}
