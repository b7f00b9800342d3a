//! The identity management server behind its real listeners, on both databases.

#![expect(clippy::unwrap_used, reason = "the whole crate is tests")]

mod accounts;
mod clients;
mod code_flow;
mod drain;
mod fixture;
mod locks;
mod login_page;
mod migration;
mod outage;
mod partner_trusts;
mod races;
mod replicas;
mod signing_keys;
mod trust;
mod user_agent;
mod visit;
mod visiting;
