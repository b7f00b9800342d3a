//! What `crossband dev` prints: the endpoints, and lines to paste.

use std::fmt::Write as _;
use std::net::SocketAddr;

use super::{DevSystem, Federation};
use crate::certificates::OPERATOR;
use crate::config::identity_files;

/// The endpoints of both systems as a table, and grpcurl lines for each.
pub fn endpoint_table(federation: &Federation) -> String {
    let mut text = String::new();
    let systems = [&federation.primary, &federation.partner];
    let _ = writeln!(text, "{:<14} {:<22} {}", "", systems[0].system.id, systems[1].system.id);
    type Endpoint = fn(&DevSystem) -> Option<SocketAddr>;
    let rows: [(&str, Endpoint); 8] = [
        ("grpc", |system| Some(system.system.addresses.grpc)),
        ("grpc peer", |system| system.system.addresses.peer),
        ("grpc ues", |system| system.system.addresses.client),
        ("https oidc", |system| system.system.addresses.https),
        ("admin http", |system| Some(system.system.addresses.admin)),
        ("sip udp", |system| system.system.addresses.sip_udp),
        ("sip tcp", |system| system.system.addresses.sip_tcp),
        ("sip tls", |system| system.system.addresses.sip_tls),
    ];
    for (name, endpoint) in rows {
        let shown = |system| endpoint(system).map_or_else(|| "-".to_owned(), |address| address.to_string());
        let _ = writeln!(text, "{name:<14} {:<22} {}", shown(systems[0]), shown(systems[1]));
    }
    let _ =
        writeln!(text, "\nusers of {}, who may migrate to {}:", systems[0].system.id, systems[1].system.id);
    for subscriber in &federation.subscribers {
        let _ = writeln!(
            text,
            "  {:<8} {:<24} -> {}",
            subscriber.name, subscriber.identities.impi, subscriber.partner.identities.impi
        );
    }
    let _ = writeln!(text, "\nlook around (paste these lines into a shell):");
    for (variable, system) in [("alpha", systems[0]), ("bravo", systems[1])] {
        let _ = writeln!(text, "  {variable}='{}'", grpcurl_arguments(system));
    }
    for line in [
        "grpcurl $alpha list",
        "grpcurl $alpha mcx.migration.v1.AuditService/ListAuditRecords",
        "grpcurl $bravo mcx.migration.v1.BindingService/ListBindings",
        "grpcurl $bravo mcx.sipcore.v1.RegistrationService/ListRegistrations",
    ] {
        let _ = writeln!(text, "  {line}");
    }
    text
}

/// What `grpcurl` needs to call a system as its operator.
fn grpcurl_arguments(system: &DevSystem) -> String {
    let files = identity_files(&system.certificates.directory, OPERATOR);
    format!(
        "-cacert {} -cert {} -key {} {}",
        files.trust_bundle_file.display(),
        files.certificate_file.display(),
        files.key_file.display(),
        system.system.addresses.grpc
    )
}
