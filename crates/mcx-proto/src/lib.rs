//! The contract: messages, clients and servers generated from `proto/`, and their descriptors.
//!
//! Read the `.proto` files, not the generated code: every message, field and rpc is explained there.

#![allow(
    missing_docs,
    unreachable_pub,
    clippy::all,
    reason = "generated code; the comments are in the .proto files"
)]

mod secrets;

/// Messages shared by all services.
pub mod types {
    /// `mcx.types.v1`.
    pub mod v1 {
        tonic::include_proto!("mcx.types.v1");
    }
}

/// The migration management server.
pub mod migration {
    /// `mcx.migration.v1`.
    pub mod v1 {
        tonic::include_proto!("mcx.migration.v1");
    }
}

/// The SIP database.
pub mod sipdatabase {
    /// `mcx.sipdatabase.v1`.
    pub mod v1 {
        tonic::include_proto!("mcx.sipdatabase.v1");
    }
}

/// The SIP core.
pub mod sipcore {
    /// `mcx.sipcore.v1`.
    pub mod v1 {
        tonic::include_proto!("mcx.sipcore.v1");
    }
}

/// The descriptors of all protos with their comments, as an encoded `google.protobuf.FileDescriptorSet`, for reflection.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));
