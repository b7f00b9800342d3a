//! What the SIP database knows and decides, without input or output.

pub(crate) mod import;
pub(crate) mod requester;
pub(crate) mod sealed_keys;
pub(crate) mod sequence_block;
pub(crate) mod subscriber;
