//! The gRPC service: decode, call the use case, encode.

mod registration_service;

pub(crate) use registration_service::RegistrationApi;
