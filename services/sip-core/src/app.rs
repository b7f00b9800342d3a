//! The use cases of the SIP core: register, and what operators may see and do.

mod registrar;
mod registry;
mod source;
mod trace;

pub use registrar::{
    ChallengeOffer, Randomness, Realms, RegisterAnswer, Registered, Registrar, RegistrarPolicy,
};
pub use registry::{Registry, WatchError, WatchEvent};
pub use source::{AuthenticationInformation, AuthenticationInformationSource, SourceError};
