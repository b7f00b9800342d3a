//! The identity management server behind its real listeners, on both databases.

mod accounts;
mod clients;
mod code_flow;
mod fixture;
mod locks;
mod login_page;
mod migration;
mod partner_trusts;
mod signing_keys;
mod trust;
mod user_agent;
mod visiting;
