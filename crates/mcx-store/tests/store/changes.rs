//! The change log and its feed, on each pair of engines.

mod faults;
mod fixture;
mod log;
mod replicas;
mod resume;
mod topics;
