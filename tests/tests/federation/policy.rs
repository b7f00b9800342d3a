//! Every rpc has a row in the table of who may call it.

use std::collections::BTreeSet;

use mcx_federation::policy::RULES;
use prost_reflect::DescriptorPool;

/// Served beside our own by every server; the table has their rows too.
const OF_THE_RUNTIME: [&str; 2] = ["/grpc.health.", "/grpc.reflection."];

#[test]
fn every_rpc_has_a_row_and_every_row_an_rpc() {
    let pool = DescriptorPool::decode(mcx_proto::FILE_DESCRIPTOR_SET).unwrap();
    let described: BTreeSet<String> = pool
        .services()
        .flat_map(|service| {
            let methods = service.methods();
            methods.map(|method| format!("/{}/{}", service.full_name(), method.name())).collect::<Vec<_>>()
        })
        .collect();
    let of_the_runtime = |method: &str| OF_THE_RUNTIME.iter().any(|prefix| method.starts_with(prefix));
    let ruled: BTreeSet<String> =
        RULES.iter().map(|rule| rule.method.to_owned()).filter(|method| !of_the_runtime(method)).collect();
    assert!(described.len() > 20, "the descriptor set describes our services");
    assert_eq!(described, ruled);
}
