//! What every service of Crossband runs on: configuration, telemetry, the server with its layers, health, and the one
//! way from an error to a gRPC status.
//!
//! | to | use |
//! | --- | --- |
//! | load settings | [`config::Loader`], [`config::Settings`] |
//! | log and trace | [`telemetry::Telemetry`], [`telemetry::spawn_in_span`] |
//! | answer with an error, or read one | [`error::status`], [`error::decode_status`] |
//! | serve gRPC | [`server::Server`] |
//! | know who calls | [`CallContext`] |
//! | call somebody else | [`client::Outgoing`] |
//! | tell whether the service can do its work | [`readiness::Readiness`] |
//! | serve probes and metrics | [`admin::Admin`] |
//! | end in good order | [`shutdown::Shutdown`] |

pub mod admin;
pub mod client;
pub mod config;
mod context;
mod deadline;
mod ending;
pub mod error;
mod layers;
mod outcome;
mod procedure;
pub mod readiness;
mod refusal;
pub mod server;
pub mod shutdown;
pub mod telemetry;
mod unsent;

pub use context::{CallContext, RequestId};
pub use deadline::Deadline;
pub use refusal::Refusal;

/// The domain of the error reasons that the layers themselves answer with; see [`Refusal`].
pub const DOMAIN: &str = "mcx.runtime";
