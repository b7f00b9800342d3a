//! The use cases of the SIP core: register, and what operators may see and do.

mod answer;
mod registrar;
mod registry;
mod source;
mod trace;

pub use answer::{ChallengeOffer, RegisterAnswer, Registered};
pub use registrar::{Randomness, Realms, Registrar, RegistrarPolicy};
pub use registry::{Registry, WatchError, WatchEvent};
pub use source::{AuthenticationInformation, AuthenticationInformationSource, SourceError};
