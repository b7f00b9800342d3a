//! What an access token says, as it is signed: the one shape for the identity management server that issues it and for
//! everybody who takes it.

use mcx_types::{McId, McServiceId, McSystemId, Subject};
use serde::{Deserialize, Deserializer, Serialize};

/// The media type in the header of an access token, without `application/` (RFC 9068 2.1).
pub const ACCESS_TOKEN_TYPE: &str = "at+jwt";

/// The claims of an access token: RFC 9068 2.2, TS 33.180 B.4.2, and where its user comes from. Times are in whole seconds since
/// 1970-01-01T00:00:00Z.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessTokenClaims {
    /// The identity management server that issued it: its issuer URL.
    pub iss: String,
    /// The user, as this issuer knows her.
    pub sub: Subject,
    /// For whom it is: the MC systems, by their ids. Written as an array; a single text is read too.
    #[serde(deserialize_with = "one_or_many")]
    pub aud: Vec<String>,
    /// When it ends.
    pub exp: i64,
    /// When it was issued.
    pub iat: i64,
    /// From when it is valid, where that is not `iat`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nbf: Option<i64>,
    /// The id of the token, unique at its issuer.
    pub jti: String,
    /// The OAuth client that asked for it.
    pub client_id: String,
    /// The scopes, separated by spaces; see [`super::Scope`].
    pub scope: String,
    /// The identity with which the user logged in; absent for a visitor, who has none here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mc_id: Option<McId>,
    /// The user's MCPTT ID in this system.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mcptt_id: Option<McServiceId>,
    /// The user's MCVideo ID in this system.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mcvideo_id: Option<McServiceId>,
    /// The user's MCData ID in this system.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mcdata_id: Option<McServiceId>,
    /// Where the user is at home, for a visitor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub primary: Option<PrimaryClaim>,
    /// The migration that brought the visitor here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub migration_id: Option<String>,
}

/// The primary MC system of a visitor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PrimaryClaim {
    /// The issuer URL of the primary's identity management server.
    pub iss: String,
    /// The primary MC system.
    pub mc_system_id: McSystemId,
}

/// `aud` is an array, or in the case of one a plain text (RFC 7519 4.1.3).
fn one_or_many<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Audience {
        One(String),
        Many(Vec<String>),
    }
    Ok(match Audience::deserialize(deserializer)? {
        Audience::One(one) => vec![one],
        Audience::Many(many) => many,
    })
}
