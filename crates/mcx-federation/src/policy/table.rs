//! The rows. A method that is not here is denied; a test fails if a served method is not here.

use super::Caller::Anyone;
use super::MethodRule;
use crate::Listener::{Internal, Peer};

/// Every method of every listener.
pub const RULES: &[MethodRule] = &[
    // Liveness and the shape of the API tell nothing about users; a listener lets in only authenticated peers.
    MethodRule { method: "/grpc.health.v1.Health/Check", listener: Internal, callers: &[Anyone] },
    MethodRule { method: "/grpc.health.v1.Health/List", listener: Internal, callers: &[Anyone] },
    MethodRule { method: "/grpc.health.v1.Health/Watch", listener: Internal, callers: &[Anyone] },
    MethodRule { method: "/grpc.health.v1.Health/Check", listener: Peer, callers: &[Anyone] },
    MethodRule { method: "/grpc.health.v1.Health/List", listener: Peer, callers: &[Anyone] },
    MethodRule { method: "/grpc.health.v1.Health/Watch", listener: Peer, callers: &[Anyone] },
    MethodRule {
        method: "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
        listener: Internal,
        callers: &[Anyone],
    },
    MethodRule {
        method: "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
        listener: Peer,
        callers: &[Anyone],
    },
    MethodRule {
        method: "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
        listener: Internal,
        callers: &[Anyone],
    },
    MethodRule {
        method: "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
        listener: Peer,
        callers: &[Anyone],
    },
];
