//! Between the message `Subscriber` and the domain.

use mcx_aka::digest::DigestAlgorithm;
use mcx_aka::{Amf, Opc, OperatorKey, SubscriberKey};
use mcx_proto::sipdatabase::v1 as proto;
use mcx_proto::sipdatabase::v1::subscriber_keys::OperatorVariant;
use mcx_types::wire::scheme_to_wire;
use mcx_types::{Impi, Violations};
use zeroize::Zeroizing;

use crate::domain::subscriber::{Subscriber, SubscriberContent, SubscriberKeys, Version};

impl From<&Subscriber> for proto::Subscriber {
    fn from(subscriber: &Subscriber) -> Self {
        let SubscriberContent { identities, scheme, amf, barred } = &subscriber.content;
        Self {
            identities: Some(identities.clone().into()),
            scheme: scheme_to_wire(Some(*scheme)).into(),
            amf: amf.as_octets().to_vec(),
            barred: *barred,
            etag: subscriber.version.to_string(),
            create_time: Some(subscriber.created_at.into()),
            update_time: Some(subscriber.updated_at.into()),
            key_encryption_key_id: subscriber.keys.key_id.clone(),
        }
    }
}

/// Decodes what an operator says of a subscriber; fields that are output only are passed over.
pub(crate) fn content(
    violations: &mut Violations,
    subscriber: Option<proto::Subscriber>,
) -> Option<SubscriberContent> {
    let subscriber = violations.require("subscriber", subscriber)?;
    let identities = violations.sip_identities("subscriber.identities", subscriber.identities);
    let scheme = violations.scheme("subscriber.scheme", subscriber.scheme);
    let amf = match subscriber.amf.as_slice() {
        [] => Some(Amf([0, 0])),
        octets => violations.accept("subscriber.amf", Amf::try_from(octets)),
    };
    Some(SubscriberContent {
        identities: identities?,
        scheme: scheme?.unwrap_or(DigestAlgorithm::AkaV1Md5),
        amf: amf?,
        barred: subscriber.barred,
    })
}

/// Decodes the keys of a subscriber; of OP only OPc is kept. The octets of the message are wiped.
pub(crate) fn keys(
    violations: &mut Violations,
    keys: Option<proto::SubscriberKeys>,
) -> Option<SubscriberKeys> {
    let keys = violations.require("keys", keys)?;
    let k = Zeroizing::new(keys.k);
    let key = violations.accept("keys.k", SubscriberKey::try_from(k.as_slice()));
    let opc = match violations.require("keys.operator_variant", keys.operator_variant)? {
        OperatorVariant::Opc(opc) => {
            let opc = Zeroizing::new(opc);
            violations.accept("keys.opc", Opc::try_from(opc.as_slice()))
        }
        OperatorVariant::Op(op) => {
            let op = Zeroizing::new(op);
            let op = violations.accept("keys.op", OperatorKey::try_from(op.as_slice()));
            key.as_ref().zip(op).map(|(key, op)| Opc::derive(key, &op))
        }
    };
    Some(SubscriberKeys { key: key?, opc: opc? })
}

/// Decodes an `etag` that is not empty.
pub(crate) fn version(violations: &mut Violations, field: &str, etag: &str) -> Option<Version> {
    let parsed = etag.parse().map(Version).map_err(|_| "must be the etag of a subscriber as it was read");
    violations.accept(field, parsed)
}

/// A page token is the last private user identity of the page before: the list is in their order.
pub(crate) fn page_token(after: Option<Impi>) -> String {
    after.map(|impi| hex::encode(impi.as_str())).unwrap_or_default()
}

/// Decodes a page token; empty: `Some(None)`.
pub(crate) fn after(violations: &mut Violations, page_token: &str) -> Option<Option<Impi>> {
    if page_token.is_empty() {
        return Some(None);
    }
    let impi = hex::decode(page_token).ok().and_then(|octets| String::from_utf8(octets).ok());
    let impi = impi.and_then(|text| text.parse().ok());
    violations.accept("page_token", impi.ok_or("must be the next_page_token of the page before")).map(Some)
}
