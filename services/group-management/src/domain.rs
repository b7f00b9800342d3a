//! What group management knows and decides: types and rules, without input or output.
//!
//! | room | holds | source |
//! | --- | --- | --- |
//! | [`group`] | groups, and which MC system is their home | TS 23.280 annex A.4 |
//! | [`member`] | who is in a group | TS 23.280 annex A.4 |
//! | [`migration`] | users who migrate, in both roles | TS 23.280 10.17.5 |

pub mod group;
pub mod member;
pub mod migration;
