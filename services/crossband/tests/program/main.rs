//! The real program, run as its users run it: `crossband` is started, called, signalled and killed as a process of its own.

#![expect(clippy::unwrap_used, reason = "the whole crate is tests")]

mod admin;
mod answer_proxy;
mod calls;
mod configuration;
mod demo;
mod dev;
mod documentation;
mod exit_status;
mod federated;
mod grpcurl;
mod kill;
mod outages;
mod ports;
mod processes;
mod program;
mod provisioning_crash;
mod reflection;
mod sealed_secrets;
mod service;
mod sipp;
mod systems;
mod ue;
mod vectors;
