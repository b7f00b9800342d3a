//! What grpcurl learns of the services by asking the listeners themselves.

use mcx_federation::Listener;
use mcx_federation::policy::RULES;
use mcx_proto::FILE_DESCRIPTOR_SET;
use prost::Message;
use prost_types::FileDescriptorSet;
use serde_json::{Value, json};

use crate::grpcurl::Grpcurl;
use crate::systems::{ALPHA, BRAVO, Systems};

const OF_EVERY_LISTENER: [&str; 3] = [
    "grpc.health.v1.Health",
    "grpc.reflection.v1.ServerReflection",
    "grpc.reflection.v1alpha.ServerReflection",
];

/// Every rpc of the contract, as `package.Service/Method`.
pub(crate) fn contract() -> Vec<String> {
    let descriptors = FileDescriptorSet::decode(FILE_DESCRIPTOR_SET).unwrap();
    let mut methods = Vec::new();
    for file in descriptors.file.iter().filter(|file| file.package().starts_with("mcx.")) {
        for service in &file.service {
            let name = format!("{}.{}", file.package(), service.name());
            methods.extend(service.method.iter().map(|method| format!("{name}/{}", method.name())));
        }
    }
    methods.sort();
    methods
}

fn services() -> Vec<String> {
    let mut services: Vec<String> = contract()
        .iter()
        .map(|method| method.split_once('/').unwrap().0.to_owned())
        .chain(OF_EVERY_LISTENER.map(str::to_owned))
        .collect();
    services.sort();
    services.dedup();
    services
}

/// The services of which the policy table has methods on this listener.
fn services_of(listener: Listener) -> Vec<String> {
    let of_listener = |service: &String| {
        let prefix = format!("/{service}/");
        RULES.iter().any(|rule| rule.listener == listener && rule.method.starts_with(&prefix))
    };
    services().into_iter().filter(of_listener).collect()
}

/// The three listeners of both systems, each with the services that it should show.
fn listeners(systems: &Systems) -> Vec<(Grpcurl, Vec<String>)> {
    [(ALPHA, BRAVO), (BRAVO, ALPHA)]
        .into_iter()
        .flat_map(|(system, other)| {
            let partner = Grpcurl::new(systems, (system, "peer"), (other, "migration-management"));
            [
                (Grpcurl::operator(systems, system), services_of(Listener::Internal)),
                (partner, services_of(Listener::Peer)),
                (Grpcurl::ue(systems, system), services_of(Listener::Client)),
            ]
        })
        .collect()
}

#[test]
fn every_listener_lists_and_describes_its_services_and_no_others() {
    let systems = Systems::start();
    for (listener, services) in listeners(&systems) {
        // This version of grpcurl asks by v1alpha.
        assert_eq!(listener.list(), services);
        for service in &services {
            let described = listener.describe(service);
            assert!(described.starts_with(&format!("{service} is a service:")), "{described}");
            assert!(described.contains("rpc "), "{described}");
        }
    }
    let described = Grpcurl::operator(&systems, ALPHA).describe("mcx.sipdatabase.v1.SubscriberService");
    assert!(described.contains("May be called by operators."), "without comments: {described}");
    systems.stop();
}

#[test]
fn both_versions_of_reflection_answer_the_same() {
    let systems = Systems::start();
    for (listener, services) in listeners(&systems) {
        for version in ["v1", "v1alpha"] {
            let method = format!("grpc.reflection.{version}.ServerReflection/ServerReflectionInfo");
            let answer = listener.ask(&method, &json!({ "listServices": "" }));
            let listed = answer["listServicesResponse"]["service"].as_array().unwrap();
            let mut names: Vec<&str> =
                listed.iter().filter_map(|entry: &Value| entry["name"].as_str()).collect();
            names.sort_unstable();
            assert_eq!(names, services, "{version}");
        }
    }
    systems.stop();
}
