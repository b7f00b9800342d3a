//! A REGISTER in SIP text becomes a [`RegisterRequest`] (RFC 3261 10.2, TS 24.229 5.4.1.2).

use crate::domain::request::{
    ContactChange, ContactUpdate, RegisterRequest, RequestSource, preference_thousandths,
};
use ezk_sip_types::Name;
use mcx_sip::{AddressError, DigestCredentials, DigestError, NameAddress, Request, SipAddress};
use mcx_types::{Impi, Impu};

/// Most contacts in one request.
const MAXIMUM_CONTACTS: usize = 16;
/// Most `Path` values in one request.
const MAXIMUM_PATHS: usize = 8;
/// Longest text kept of a header that is only repeated.
const MAXIMUM_TEXT: usize = 256;

/// Why a REGISTER cannot be decided upon.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BadRegister {
    /// 400 with this phrase.
    Malformed(&'static str),
    /// 403: an identity of a form that nobody has here.
    UnknownIdentity,
    /// 416: a contact is no SIP URI.
    UnsupportedScheme,
}

/// Decodes a REGISTER.
pub(super) fn decode(request: &Request, source: RequestSource) -> Result<RegisterRequest, BadRegister> {
    let to =
        NameAddress::parse(&request.mandatory.to).map_err(|_| BadRegister::Malformed("To is malformed"))?;
    let impu: Impu = public_identity(&to.uri).parse().map_err(|_| BadRegister::UnknownIdentity)?;
    let credentials = credentials(request)?;
    let impi = match &credentials {
        Some(credentials) => credentials.username.parse(),
        None => derived_private_identity(&impu),
    };
    let path = request.header_values(Name::custom("Path", &["path"])).collect::<Vec<_>>();
    if path.len() > MAXIMUM_PATHS || path.iter().any(|value| value.len() > MAXIMUM_TEXT) {
        return Err(BadRegister::Malformed("Path is too long"));
    }
    Ok(RegisterRequest {
        impi: impi.map_err(|_| BadRegister::UnknownIdentity)?,
        impu,
        credentials,
        contacts: contacts(request)?,
        call_id: bounded(&request.mandatory.call_id).ok_or(BadRegister::Malformed("Call-ID is too long"))?,
        sequence: request.mandatory.sequence,
        path: path.into_iter().map(str::to_owned).collect(),
        user_agent: request.header(Name::USER_AGENT).and_then(bounded),
        source,
    })
}

/// The address of record as an identity: parameters and port go (RFC 3261 10.3 step 5); `sips` names the same user.
fn public_identity(uri: &str) -> String {
    match SipAddress::parse(uri) {
        Ok(address) => format!("sip:{}@{}", address.user, address.host),
        Err(_) => uri.split(';').next().unwrap_or(uri).to_owned(),
    }
}

/// TS 24.229 5.4.1.2.1: without Authorization the private identity is the public one without its scheme.
fn derived_private_identity(impu: &Impu) -> Result<Impi, mcx_types::IdentityError> {
    impu.as_str().strip_prefix("sip:").unwrap_or_default().parse()
}

fn credentials(request: &Request) -> Result<Option<DigestCredentials>, BadRegister> {
    let mut found = None;
    for value in request.header_values(Name::AUTHORIZATION) {
        match DigestCredentials::parse(value) {
            Ok(credentials) if found.is_none() => found = Some(credentials),
            Ok(_) => return Err(BadRegister::Malformed("Authorization stands twice")),
            Err(DigestError::OtherScheme) => {}
            Err(_) => return Err(BadRegister::Malformed("Authorization is malformed")),
        }
    }
    Ok(found)
}

fn contacts(request: &Request) -> Result<ContactChange, BadRegister> {
    let default_expiry = expires_header(request)?;
    let values: Vec<&str> = request.header_values(Name::CONTACT).collect();
    if values.is_empty() {
        return Ok(ContactChange::Query);
    }
    if values.iter().any(|value| value.trim() == "*") {
        // RFC 3261 10.3 step 6: alone, and with Expires 0.
        return if values.len() == 1 && default_expiry == Some(0) {
            Ok(ContactChange::RemoveAll)
        } else {
            Err(BadRegister::Malformed("Contact * needs Expires 0 and no other contact"))
        };
    }
    let addresses =
        NameAddress::parse_list(values).map_err(|_| BadRegister::Malformed("Contact is malformed"))?;
    if addresses.len() > MAXIMUM_CONTACTS {
        return Err(BadRegister::Malformed("too many contacts"));
    }
    let updates = addresses.into_iter().map(|address| contact(address, default_expiry));
    updates.collect::<Result<Vec<_>, _>>().map(ContactChange::Update)
}

fn contact(address: NameAddress, default_expiry: Option<u32>) -> Result<ContactUpdate, BadRegister> {
    let parsed = SipAddress::parse(&address.uri).map_err(|error| match error {
        AddressError::UnknownScheme => BadRegister::UnsupportedScheme,
        AddressError::Malformed => BadRegister::Malformed("Contact is malformed"),
    })?;
    let preference_thousandths = match address.parameter("q") {
        Some(text) => Some(preference_thousandths(text).ok_or(BadRegister::Malformed("q is malformed"))?),
        None => None,
    };
    let expires = match address.parameter("expires") {
        Some(text) => Some(delta_seconds(text).ok_or(BadRegister::Malformed("expires is malformed"))?),
        None => default_expiry,
    };
    let instance_id = address.parameter("+sip.instance").map(str::to_owned);
    let own = ["q", "expires", "+sip.instance"];
    let parameters = address
        .parameters
        .into_iter()
        .filter(|(name, _)| !own.iter().any(|own| name.eq_ignore_ascii_case(own)))
        .collect();
    Ok(ContactUpdate {
        uri: address.uri,
        address: parsed,
        expires,
        preference_thousandths,
        instance_id,
        parameters,
    })
}

fn expires_header(request: &Request) -> Result<Option<u32>, BadRegister> {
    match request.header(Name::EXPIRES) {
        Some(text) => delta_seconds(text).map(Some).ok_or(BadRegister::Malformed("Expires is malformed")),
        None => Ok(None),
    }
}

/// RFC 3261 25.1 `delta-seconds`; what is beyond 32 bits is the largest number (20.19).
fn delta_seconds(text: &str) -> Option<u32> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().unwrap_or(u32::MAX))
}

fn bounded(text: &str) -> Option<String> {
    (text.len() <= MAXIMUM_TEXT).then(|| text.to_owned())
}
