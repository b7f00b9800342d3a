//! The registrar over real sockets, with real AKA vectors.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod authentication;
mod bindings;
mod drain;
mod flows;
mod home;
mod hostile;
mod management;
mod protocol;
mod raw;
mod replicas;
mod rig;
mod sipp;
mod traces;
