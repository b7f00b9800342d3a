//! Validated identities and values of mission-critical (MC) systems.
//!
//! Everything here is parsed once, at the border of a service, and is trusted from then on: a function that takes an
//! [`Impi`] need not check it again. Nothing here does input or output.
//!
//! | type | what it names | source |
//! | --- | --- | --- |
//! | [`McSystemId`] | an MC system, which is one trust domain | TS 23.280 8.1.4 |
//! | [`Impi`], [`Impu`], [`Realm`] | who registers on the signalling plane | TS 23.003 13.3, 13.4 |
//! | [`McId`], [`Subject`] | who logs in, and who she is in tokens | TS 23.280 8.1.1, TS 33.180 B.8 |
//! | [`McService`], [`McServiceId`], [`ProfileIndex`] | who uses an MC service, with which user profile | TS 23.280 8.1.2, 10.1.4.1 |
//! | [`McServiceGroupId`], [`FunctionalAlias`] | whom one calls beside a user | TS 23.280 8.1.3, 8.1.5 |
//! | [`SpiffeId`], [`Principal`], [`Entity`] | who calls, as the channel proves it | SPIFFE ID specification |
//! | [`SourceNetwork`] | from where, as far as limits are concerned | |
//! | [`Timestamp`], [`Clock`] | when, injected so that tests own the time | |
//! | [`Violations`] | everything wrong with one request, at once | |

mod identity;
mod principal;
mod source;
mod time;
mod violations;
pub mod wire;

pub use identity::{
    FunctionalAlias, IdentityError, Impi, Impu, McId, McService, McServiceGroupId, McServiceId, McSystemId,
    ProfileIndex, Realm, SipIdentities, Subject,
};
pub use principal::{Entity, Principal, SpiffeId, SpiffeIdError};
pub use source::SourceNetwork;
pub use time::{Clock, ManualClock, SystemClock, Timestamp, Validity};
pub use violations::{Violation, Violations};
