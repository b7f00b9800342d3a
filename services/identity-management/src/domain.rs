//! The rules of identity management: no input or output, no time or randomness of their own.
//!
//! | room | decides | source |
//! | --- | --- | --- |
//! | [`account`], [`client`], [`partner`] | who may log in, who may ask, whose word counts | TS 33.180 B.3, 5.1.4.2 |
//! | [`password`], [`lock_out`] | which passwords are good, and when none is looked at | |
//! | [`authorization`] | which authorization requests are answered, and how | OpenID Connect Core 3.1.2, RFC 7636, RFC 8252 |
//! | [`grant`] | what a code or refresh token is good for | RFC 6749 4.1.3, 6, RFC 9700 4.14 |
//! | [`security_token`] | which security tokens are believed | TS 33.180 B.8, B.11.3 |
//! | [`signing_key`] | which key signs, and until when one is published | |
//! | [`scopes`] | what tokens are good for | TS 33.180 B.4.2.2 |

pub(crate) mod account;
pub(crate) mod authorization;
pub(crate) mod client;
pub(crate) mod grant;
pub(crate) mod lock_out;
pub(crate) mod partner;
pub(crate) mod password;
pub(crate) mod scopes;
pub(crate) mod security_token;
pub(crate) mod signing_key;
