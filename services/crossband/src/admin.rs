//! `crossband admin`: what an operator does with an MC system, over the same rpcs that grpcurl calls.
//!
//! Everything is derived from the contract: a resource is what has a `Get…` method that operators may call, and its verbs are the
//! methods that go with it. A rpc that is added to the contract is a verb here from then on.

mod apply;
mod codec;
mod connection;
mod json;
mod operator_client;
mod resource;
mod table;

pub use apply::{Applied, Manifest, apply, check_form};
pub use connection::{Connection, Target};
pub use operator_client::{AdminError, OperatorClient};
pub use resource::{Catalogue, Resource, Verb};
pub use table::render;
