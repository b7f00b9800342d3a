//! Whose security tokens are believed.

use mcx_types::McSystemId;
use serde::{Deserialize, Serialize};

use super::scopes::Scopes;

/// A public key for ES256, by the coordinates of its JWK in base64url (RFC 7518 6.2.1).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PublicKey {
    pub(crate) kid: String,
    pub(crate) x: String,
    pub(crate) y: String,
}

/// The trust in the identity management server of one partner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PartnerTrust {
    pub(crate) mc_system_id: McSystemId,
    pub(crate) issuer: String,
    pub(crate) keys: Vec<PublicKey>,
    pub(crate) allowed_scopes: Scopes,
}

/// Why an issuer URL cannot be one; `None`: it can (OpenID Connect Discovery 3, RFC 8414 2).
pub(crate) fn issuer_fault(issuer: &str) -> Option<&'static str> {
    let Ok(url) = url::Url::parse(issuer) else { return Some("must be an https URL") };
    let is_good = url.scheme() == "https"
        && url.has_host()
        && url.query().is_none()
        && url.fragment().is_none()
        && url.username().is_empty()
        && !issuer.ends_with('/')
        && issuer.len() <= 1_024;
    (!is_good).then_some("must be an https URL without query, fragment, user name and final slash")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn issuers_are_plain_https_urls() {
        for good in ["https://idms.alpha.example", "https://127.0.0.1:8443", "https://alpha.example/idms"] {
            assert_eq!(issuer_fault(good), None, "{good}");
        }
        for bad in [
            "",
            "idms",
            "http://idms.alpha.example",
            "https://a.example/",
            "https://a.example?x",
            "https://a@b.example",
        ] {
            assert!(issuer_fault(bad).is_some(), "{bad}");
        }
    }
}
