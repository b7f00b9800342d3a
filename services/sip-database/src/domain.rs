//! What the SIP database knows and decides, without input or output.

pub(crate) mod import;
pub(crate) mod key_ring;
pub(crate) mod requester;
pub(crate) mod sequence_block;
pub(crate) mod subscriber;
