//! The typed clients of migration management.
//!
//! | room | whose |
//! | --- | --- |
//! | [`follow_partners`] | other entities of the own MC system, which have to know the partners |
//! | [`federation`] | this entity's own, of the migration management of a partner |

pub(crate) mod federation;
mod partners;

pub(crate) use federation::{Answer, FederationClient};
pub use partners::follow_partners;
