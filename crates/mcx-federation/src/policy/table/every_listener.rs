//! What every listener serves.

use super::{client, internal, peer};
use crate::policy::Caller::Anyone;
use crate::policy::MethodRule;

pub(super) const RULES: &[MethodRule] = &[
    // Liveness and the shape of the API tell nothing about users, and a UE needs them before it has a token.
    internal("/grpc.health.v1.Health/Check", &[Anyone]),
    internal("/grpc.health.v1.Health/List", &[Anyone]),
    internal("/grpc.health.v1.Health/Watch", &[Anyone]),
    peer("/grpc.health.v1.Health/Check", &[Anyone]),
    client("/grpc.health.v1.Health/Check", &[Anyone]),
    peer("/grpc.health.v1.Health/List", &[Anyone]),
    client("/grpc.health.v1.Health/List", &[Anyone]),
    peer("/grpc.health.v1.Health/Watch", &[Anyone]),
    client("/grpc.health.v1.Health/Watch", &[Anyone]),
    internal("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", &[Anyone]),
    peer("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", &[Anyone]),
    client("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", &[Anyone]),
    internal("/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", &[Anyone]),
    peer("/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", &[Anyone]),
    client("/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", &[Anyone]),
];
