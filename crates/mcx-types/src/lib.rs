//! Validated identities and values of mission-critical (MC) systems.
//!
//! Everything here is parsed once, at the border of a service, and is trusted from then on: a function that takes an
//! [`Impi`] need not check it again. Nothing here does input or output.
//!
//! | type | what it names | source |
//! | --- | --- | --- |
//! | [`McSystemId`] | an MC system, which is one trust domain | TS 23.280 8.1.4 |
//! | [`Impi`], [`Impu`], [`Realm`] | who registers on the signalling plane | TS 23.003 13.3, 13.4 |
//! | [`SpiffeId`], [`Principal`], [`Entity`] | who calls, as the channel proves it | SPIFFE ID specification |
//! | [`Timestamp`], [`Clock`] | when, injected so that tests own the time | |
//! | [`Violations`] | everything wrong with one request, at once | |

mod identity;
mod principal;
mod time;
mod violations;
pub mod wire;

pub use identity::{IdentityError, Impi, Impu, McSystemId, Realm, SipIdentities};
pub use principal::{Entity, Principal, SpiffeId, SpiffeIdError};
pub use time::{Clock, ManualClock, SystemClock, Timestamp, Validity};
pub use violations::{Violation, Violations};
