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

/// The identity management server.
pub mod identity {
    /// `mcx.identity.v1`.
    pub mod v1 {
        tonic::include_proto!("mcx.identity.v1");
    }
}

/// The configuration management server.
pub mod configuration {
    /// `mcx.configuration.v1`.
    pub mod v1 {
        tonic::include_proto!("mcx.configuration.v1");
    }
}

/// The group management server.
pub mod group {
    /// `mcx.group.v1`.
    pub mod v1 {
        tonic::include_proto!("mcx.group.v1");
    }
}

/// The functional alias management server.
pub mod functionalalias {
    /// `mcx.functionalalias.v1`.
    pub mod v1 {
        tonic::include_proto!("mcx.functionalalias.v1");
    }
}

/// The MC service server.
pub mod mcservice {
    /// `mcx.mcservice.v1`.
    pub mod v1 {
        tonic::include_proto!("mcx.mcservice.v1");
    }
}

/// The descriptors of all protos with their comments, as an encoded `google.protobuf.FileDescriptorSet`, for reflection.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));
