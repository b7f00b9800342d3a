//! The trust in partners as operators provision it.

use mcx_proto::identity::v1 as proto;
use tonic::Code;

use crate::fixture::{Engine, System, fields, on_every_database, reason, refusal, trust_in};

on_every_database!(
    trust_is_put_in_place_changed_and_ended,
    malformed_trust_is_refused_with_every_field_at_once,
    issuer_is_of_one_partner_only,
);

fn put(trust: proto::PartnerTrust) -> proto::PutPartnerTrustRequest {
    proto::PutPartnerTrustRequest { partner_trust: Some(trust), ..Default::default() }
}

async fn bravo() -> proto::PartnerTrust {
    trust_in(&System::named("bravo.example", Engine::Sqlite).await).await
}

async fn trust_is_put_in_place_changed_and_ended(system: System) {
    let mut trusts = system.partner_trusts();
    let bravo = bravo().await;
    let made =
        trusts.put_partner_trust(put(bravo.clone())).await.unwrap().into_inner().partner_trust.unwrap();
    assert_eq!((made.etag.as_str(), &made.keys), ("1", &bravo.keys));
    // The same again changes nothing.
    let again = trusts.put_partner_trust(put(bravo.clone())).await.unwrap().into_inner().partner_trust;
    assert_eq!(again.as_ref(), Some(&made));
    let get = proto::GetPartnerTrustRequest { mc_system_id: "bravo.example".to_owned() };
    assert_eq!(
        trusts.get_partner_trust(get.clone()).await.unwrap().into_inner().partner_trust.as_ref(),
        Some(&made)
    );

    let mut fewer = made.clone();
    fewer.keys.pop();
    let changed =
        trusts.put_partner_trust(put(fewer.clone())).await.unwrap().into_inner().partner_trust.unwrap();
    assert_eq!((changed.etag.as_str(), changed.keys.len()), ("2", 1));
    assert_eq!(reason(trusts.put_partner_trust(put(made)).await), "ETAG_MISMATCH");
    let all =
        trusts.list_partner_trusts(proto::ListPartnerTrustsRequest::default()).await.unwrap().into_inner();
    assert_eq!(all.partner_trusts, [changed]);

    let delete = |etag: &str| proto::DeletePartnerTrustRequest {
        mc_system_id: "bravo.example".to_owned(),
        etag: etag.to_owned(),
        ..Default::default()
    };
    assert_eq!(reason(trusts.delete_partner_trust(delete("1")).await), "ETAG_MISMATCH");
    trusts.delete_partner_trust(delete("2")).await.unwrap();
    assert_eq!(reason(trusts.get_partner_trust(get).await), "PARTNER_TRUST_UNKNOWN");
    assert_eq!(refusal(trusts.delete_partner_trust(delete("")).await).code, Code::NotFound);
}

async fn malformed_trust_is_refused_with_every_field_at_once(system: System) {
    let key =
        |kid: &str, x: &str| proto::JsonWebKey { kid: kid.to_owned(), x: x.to_owned(), y: x.to_owned() };
    let broken = proto::PartnerTrust {
        mc_system_id: "alpha.example".to_owned(),
        issuer: "http://idms.bravo.example".to_owned(),
        keys: vec![key("1", "AA"), key("", "not base64!")],
        allowed_scopes: vec!["root".to_owned()],
        ..Default::default()
    };
    assert_eq!(
        fields(system.partner_trusts().put_partner_trust(put(broken)).await),
        [
            "partner_trust.mc_system_id",
            "partner_trust.issuer",
            "partner_trust.keys[0]",
            "partner_trust.keys[1].kid",
            "partner_trust.keys[1]",
            "partner_trust.allowed_scopes[0]",
        ]
    );
    let own = proto::PartnerTrust { issuer: system.replica.issuer.clone(), ..bravo().await };
    assert_eq!(fields(system.partner_trusts().put_partner_trust(put(own)).await), ["partner_trust.issuer"]);
}

async fn issuer_is_of_one_partner_only(system: System) {
    let bravo = bravo().await;
    system.partner_trusts().put_partner_trust(put(bravo.clone())).await.unwrap();
    let charlie = proto::PartnerTrust { mc_system_id: "charlie.example".to_owned(), ..bravo };
    let taken = refusal(system.partner_trusts().put_partner_trust(put(charlie)).await);
    assert_eq!(taken.metadata["constraint"], "partner_trust_issuer_key");
}
