//! The SIP edge: sockets, transactions, and SIP text to and from the use cases. No decisions about users.

mod answer;
mod edge;
mod guard;
mod register;
mod server;
mod stream;
mod transactions;
mod udp;

pub use edge::{Deciding, Reception, Reply, SipEdge, SipEdgeSettings};
pub use guard::{EdgeLimits, Guard, LiveCounts};
pub use server::{BoundAddresses, SipListeners, SipServer};
pub use stream::ConnectionTimeouts;
