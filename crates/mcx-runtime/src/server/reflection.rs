//! Reflection of exactly the services of a listener, so that a partner does not learn of what is not for it.

use std::collections::{HashMap, HashSet};

use prost::Message;
use prost_types::{FileDescriptorProto, FileDescriptorSet};
use tonic_reflection::server::{Builder, v1, v1alpha};

use super::ServerError;

/// What the details of errors are defined in. No service imports it, yet clients cannot show the details without it.
const ERROR_DETAILS: &str = "error_details.proto";

/// The descriptors of a server: the given ones, and those of health, reflection and error details; each file once.
pub(super) fn merge(encoded: &[&[u8]]) -> Result<FileDescriptorSet, ServerError> {
    let of_every_server = [
        tonic_health::pb::FILE_DESCRIPTOR_SET,
        tonic_reflection::pb::v1::FILE_DESCRIPTOR_SET,
        tonic_reflection::pb::v1alpha::FILE_DESCRIPTOR_SET,
        tonic_types::pb::FILE_DESCRIPTOR_SET,
    ];
    let mut seen = HashSet::new();
    let mut merged = FileDescriptorSet::default();
    for encoded in encoded.iter().chain(&of_every_server) {
        let set = FileDescriptorSet::decode(*encoded)
            .map_err(|error| ServerError::BadDescriptor { reason: error.to_string() })?;
        merged.file.extend(set.file.into_iter().filter(|file| seen.insert(file.name().to_owned())));
    }
    Ok(merged)
}

/// Both versions of reflection; clients in use speak either.
pub(super) struct Reflection<V1, V1Alpha> {
    pub(super) v1: V1,
    pub(super) v1alpha: V1Alpha,
}

/// The reflection of `services`, of health and of itself.
pub(super) fn services(
    descriptors: &FileDescriptorSet,
    services: &[&str],
) -> Result<
    Reflection<
        v1::ServerReflectionServer<impl v1::ServerReflection>,
        v1alpha::ServerReflectionServer<impl v1alpha::ServerReflection>,
    >,
    ServerError,
> {
    let of_every_server = [
        "grpc.health.v1.Health",
        "grpc.reflection.v1.ServerReflection",
        "grpc.reflection.v1alpha.ServerReflection",
    ];
    let names: Vec<&str> = services.iter().chain(&of_every_server).copied().collect();
    let files = files_of(descriptors, &names)?;
    let builder = || {
        let builder = Builder::configure()
            .include_reflection_service(false)
            .register_file_descriptor_set(files.clone());
        names.iter().fold(builder, |builder, name| builder.with_service_name(*name))
    };
    let bad_descriptor = |error| ServerError::BadDescriptor { reason: format!("{error:?}") };
    Ok(Reflection {
        v1: builder().build_v1().map_err(bad_descriptor)?,
        v1alpha: builder().build_v1alpha().map_err(bad_descriptor)?,
    })
}

/// The files that define the services and the details of errors, and those that they import.
fn files_of(descriptors: &FileDescriptorSet, services: &[&str]) -> Result<FileDescriptorSet, ServerError> {
    let by_name: HashMap<&str, &FileDescriptorProto> =
        descriptors.file.iter().map(|file| (file.name(), file)).collect();
    let mut wanted = vec![ERROR_DETAILS];
    for service in services {
        let defines = |file: &&FileDescriptorProto| {
            file.service.iter().any(|defined| format!("{}.{}", file.package(), defined.name()) == **service)
        };
        let file = descriptors.file.iter().find(defines);
        let file = file.ok_or_else(|| ServerError::NoDescriptor { service: (*service).to_owned() })?;
        wanted.push(file.name());
    }
    let mut taken = HashSet::new();
    let mut files = FileDescriptorSet::default();
    while let Some(name) = wanted.pop() {
        if !taken.insert(name) {
            continue;
        }
        let file = by_name.get(name).ok_or_else(|| ServerError::BadDescriptor {
            reason: format!("{name} is imported but not in any set"),
        })?;
        wanted.extend(file.dependency.iter().map(String::as_str));
        files.file.push((*file).clone());
    }
    Ok(files)
}
