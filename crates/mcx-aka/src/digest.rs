//! HTTP digest as SIP uses it, with a password that AKA agreed on (RFC 2617, RFC 3310, RFC 4169, RFC 7616).
//!
//! The texts in a [`DigestInput`] are the values after unquoting: without the surrounding quotation marks, backslash
//! escapes resolved. They are hashed as the peer sent them, octet by octet.

mod algorithm;
mod key;
mod nonce;
mod response;

pub use algorithm::{DigestAlgorithm, UnknownDigestAlgorithm};
pub use key::DigestKey;
pub use nonce::{MAXIMUM_NONCE_LENGTH, MAXIMUM_SERVER_DATA_LENGTH, NonceError, nonce_from, parse_nonce};
pub use response::{
    DigestError, DigestInput, MAXIMUM_BODY_LENGTH, MAXIMUM_FIELD_LENGTH, QopParameters, QualityOfProtection,
    response, verify,
};
