//! What tests over two whole MC systems share: the systems themselves, their operators' changes, and callers with any certificate.
//!
//! A function here that cannot do its work panics, because it runs in a test.

pub mod callers;
pub mod fake_primary;
pub mod records;
pub mod wait;
pub mod world;

pub use world::{Stores, World};
