//! What a registration is and how it changes: RFC 3261 10.3, without input or output.

pub mod challenge;
pub mod registration;
pub mod request;
