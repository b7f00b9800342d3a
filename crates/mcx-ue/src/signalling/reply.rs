//! What a successful answer says.

use super::error::SignallingError;
use ezk_sip_types::Name;
use mcx_sip::{NameAddress, Response, SipAddress};
use mcx_types::Impu;
use std::time::Duration;

/// A registration as the SIP core confirmed it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SignallingRegistration {
    /// All contacts registered under the public user identity, those of other UEs too.
    pub contacts: Vec<RegisteredContact>,
    /// The lifetime of the own contact; zero when it is not registered.
    pub expires: Duration,
    /// `P-Associated-URI`: all public user identities of the user.
    pub associated_impus: Vec<Impu>,
    /// `Service-Route`, in order.
    pub service_route: Vec<String>,
    /// How many challenges the ISIM answered on the way.
    pub challenges_answered: usize,
    /// Whether the sequence number was resynchronised on the way.
    pub resynchronised: bool,
}

/// One contact of the answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegisteredContact {
    /// The URI.
    pub uri: String,
    /// How long it stays registered.
    pub expires: Duration,
}

/// Reads a 200.
pub(super) fn registration(
    response: &Response,
    own_contact: &str,
) -> Result<SignallingRegistration, SignallingError> {
    let list = |name: Name, text: &'static str| {
        let values: Vec<&str> = response.header_values(name).collect();
        NameAddress::parse_list(values).map_err(|_| SignallingError::Malformed(text))
    };
    let contacts: Vec<RegisteredContact> = list(Name::CONTACT, "Contact of the answer")?
        .into_iter()
        .map(|contact| {
            let seconds = contact.parameter("expires").and_then(|seconds| seconds.parse().ok()).unwrap_or(0);
            RegisteredContact { expires: Duration::from_secs(seconds), uri: contact.uri }
        })
        .collect();
    let own = SipAddress::parse(own_contact).map_err(|_| SignallingError::Malformed("own contact"))?;
    let expires = contacts
        .iter()
        .find(|contact| SipAddress::parse(&contact.uri).as_ref() == Ok(&own))
        .map_or(Duration::ZERO, |contact| contact.expires);
    let associated_impus = list(Name::P_ASSOCIATED_URI, "P-Associated-URI of the answer")?
        .into_iter()
        .filter_map(|address| address.uri.parse().ok())
        .collect();
    let service_route = response.header_values(SERVICE_ROUTE).map(str::to_owned).collect();
    Ok(SignallingRegistration { contacts, expires, associated_impus, service_route, ..Default::default() })
}

const SERVICE_ROUTE: Name = Name::custom("Service-Route", &["service-route"]);

/// `Retry-After` in whole seconds; a comment or parameters may follow (RFC 3261 20.33).
pub(super) fn retry_after(response: &Response) -> Option<Duration> {
    let text = response.header(Name::RETRY_AFTER)?;
    let digits = text.split(|character: char| !character.is_ascii_digit()).next()?;
    digits.parse().ok().map(Duration::from_secs)
}
