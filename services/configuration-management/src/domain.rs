//! The rules of configuration management: pure, without time, store or network of their own.
//!
//! | room | decides | TS 23.280 |
//! | --- | --- | --- |
//! | [`user_profile`] | what a user profile is | annex A.3 of the MC service specifications |
//! | [`user_profiles`] | which of a user's profiles is pre-selected, which are seen where | 10.1.1.1, 10.1.4.1, 10.1.4.6 |
//! | [`visitor_policy`] | what visitors of a partner may do here | 10.1.4.3.2 |
//! | [`adaptation`] | how a visitor's profile becomes one of this MC system | 10.1.4.3.2 |
//! | [`enrolment`] | what an enrolment code is worth | 10.1.1.1 |

pub mod adaptation;
pub mod enrolment;
#[cfg(test)]
pub(crate) mod samples;
pub mod user_profile;
pub mod user_profiles;
pub mod visitor_policy;
