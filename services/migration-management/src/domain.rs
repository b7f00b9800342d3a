//! What migration management knows and decides: types and rules, without input or output.
//!
//! | room | holds | source |
//! | --- | --- | --- |
//! | [`agreement`] | the terms between two MC systems | architecture, "Agreements" |
//! | [`binding`] | a visitor's identities here and at home | TS 23.280 10.1.6.2 pre-condition 4 |
//! | [`permit`] | which own user may migrate where | TS 23.280 10.1.1.2 |
//! | [`refusal`] | every reason for which a vector does not leave or arrive | |
//! | [`release`] | the primary's checks before a vector leaves | |
//! | [`admission`] | the partner's checks before it asks, and of the answer | TS 23.280 10.1.6.2 steps 3, 8 |
//! | [`user_migration`] | the migration of a user between two systems, step by step | TS 23.280 10.17.5 |
//! | [`admission_policy`] | whom the partner lets in, and with what | TS 23.280 10.17.5 step 4 |
//! | [`allotment`] | the identities of a visitor | TS 23.280 10.1.6.2 pre-condition 4 |
//! | [`audit`] | what is recorded of each decision | |

pub mod admission;
pub mod admission_policy;
pub mod agreement;
pub mod allotment;
pub mod audit;
pub mod binding;
pub mod permit;
pub mod refusal;
pub mod release;
#[cfg(test)]
pub(crate) mod samples;
pub mod user_migration;
