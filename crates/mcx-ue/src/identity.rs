//! The identity management client (TS 33.180 5.1.2, 5.1.4, annex B): it logs the user in at the identity management server of her
//! primary MC system, keeps her tokens fresh, and takes her to that of a partner by token exchange.

mod client;
mod error;
mod https;
mod login;
mod source;
mod tokens;

pub use client::{Credentials, IdentityManagementClient, IdentitySettings};
pub use error::IdentityError;
pub(crate) use source::PartnerLoginFailure;
pub use source::{PartnerLogin, TokenSource};
pub use tokens::{SecurityToken, TokenSet};
