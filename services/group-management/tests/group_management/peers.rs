//! What a partner may say and ask over CSC-16, and what not.

use mcx_proto::group::v1 as proto;
use mcx_testkit::TrustDomain;
use mcx_types::{Timestamp, Validity};
use tonic::Code;

use crate::fixture::{
    Engine, Home, System, fields, group, on_every_database, reason, refusal, shared_user, visitor,
};

on_every_database!(
    partner_overwrites_neither_an_own_group_nor_one_of_a_third_system,
    older_news_are_left_alone,
    partner_is_told_only_of_groups_of_users_who_migrate_to_it,
    nothing_is_exchanged_without_an_agreement_in_force,
    malformed_news_are_refused_with_every_field_at_once,
);

const MIGRATION: &str = "0194f3a0-0000-7000-8000-0000000000aa";

/// A group as its home would share it.
fn shared(id: &str, member: &str, revision: i64) -> proto::SharedGroup {
    let at = Some(prost_types::Timestamp { seconds: 1, nanos: 0 });
    let group = proto::Group { version: revision, create_time: at, update_time: at, ..group(id) };
    let member = proto::GroupMember { mc_service_id: member.to_owned(), ..Default::default() };
    proto::SharedGroup { group: Some(group), members: vec![member], revision }
}

fn share(group: proto::SharedGroup) -> proto::ShareGroupsRequest {
    proto::ShareGroupsRequest { groups: vec![group] }
}

fn withdraw(id: &str, revision: i64) -> proto::WithdrawGroupsRequest {
    let group = proto::WithdrawnGroup { group_id: id.to_owned(), revision, is_deleted: false };
    proto::WithdrawGroupsRequest { groups: vec![group] }
}

/// Alice of `alpha.example` is a visitor of `bravo.example`.
async fn visit(alpha: &System<'_>, bravo: &System<'_>) {
    let request = proto::PutVisitorsRequest { visitors: vec![visitor(MIGRATION, alpha, bravo, "alice")] };
    bravo.migration().put_visitors(request).await.unwrap();
}

async fn partner_overwrites_neither_an_own_group_nor_one_of_a_third_system(engine: Engine) {
    let homes = (Home::new("alpha.example", engine), Home::new("bravo.example", engine));
    let (alpha, bravo) = (homes.0.start().await, homes.1.start().await);
    bravo.trust(&alpha);
    visit(&alpha, &bravo).await;
    let own = bravo.create(bravo.group("rescue")).await;
    let mut peer = bravo.as_partner(&homes.0.own);
    for id in [own.group_id.as_str(), "sip:rescue@charlie.example", "sip:rescue@sub.alpha.example"] {
        let refused = refusal(peer.share_groups(share(shared(id, &alpha.id("alice"), i64::MAX))).await);
        assert_eq!(
            (refused.code, refused.reason.as_str()),
            (Code::PermissionDenied, "FOREIGN_GROUP"),
            "{id}"
        );
        assert_eq!(refused.metadata.get("mc_system_id").map(String::as_str), Some("alpha.example"));
        let refused = reason(peer.withdraw_groups(withdraw(id, i64::MAX)).await);
        assert_eq!(refused, "FOREIGN_GROUP", "{id}");
    }
    // One foreign group among good ones: nothing is done.
    let mixed = proto::ShareGroupsRequest {
        groups: vec![
            shared(&alpha.id("good"), &alpha.id("alice"), 1),
            shared(&own.group_id, &alpha.id("alice"), 1),
        ],
    };
    assert_eq!(reason(peer.share_groups(mixed).await), "FOREIGN_GROUP");
    let listed = bravo.groups().list_groups(proto::ListGroupsRequest::default()).await.unwrap();
    assert_eq!(listed.into_inner().groups, [own]);
}

async fn older_news_are_left_alone(engine: Engine) {
    let homes = (Home::new("alpha.example", engine), Home::new("bravo.example", engine));
    let (alpha, bravo) = (homes.0.start().await, homes.1.start().await);
    bravo.trust(&alpha);
    visit(&alpha, &bravo).await;
    let mut peer = bravo.as_partner(&homes.0.own);
    let id = alpha.id("rescue");
    let told = |revision| share(shared(&id, &alpha.id("alice"), revision));
    peer.share_groups(told(5)).await.unwrap();
    peer.share_groups(told(4)).await.unwrap();
    let version = async || {
        bravo.look_up(&id, &bravo.id("alice.visitor")).await.map(|found| found.group.unwrap().version)
    };
    assert_eq!(version().await.unwrap(), 5);
    peer.withdraw_groups(withdraw(&id, 4)).await.unwrap();
    assert_eq!(version().await.unwrap(), 5);
    peer.withdraw_groups(withdraw(&id, 6)).await.unwrap();
    assert_eq!(reason(version().await), "GROUP_UNKNOWN");
    peer.withdraw_groups(withdraw(&id, 6)).await.unwrap();
    // Who is no visitor here is not made a member, and a group of strangers is not kept.
    peer.share_groups(share(shared(&id, &alpha.id("bob"), 7))).await.unwrap();
    assert_eq!(reason(version().await), "GROUP_UNKNOWN");
}

async fn partner_is_told_only_of_groups_of_users_who_migrate_to_it(engine: Engine) {
    let homes = (Home::new("alpha.example", engine), Home::new("bravo.example", engine));
    let (alpha, bravo) = (homes.0.start().await, homes.1.start().await);
    // Only the primary knows the partner, so that nothing is told but what is asked.
    let charlie = TrustDomain::new("charlie.example");
    let mut terms = vec![homes.1.terms(bravo.peer)];
    terms.push(mcx_federation::PartnerTerms {
        mc_system_id: charlie.mc_system_id().clone(),
        trust_bundle_pem: charlie.bundle_pem().to_owned(),
        ..terms[0].clone()
    });
    assert!(alpha.partners.replace(terms).is_empty());
    let rescue = alpha.create(alpha.group("rescue")).await;
    let other = alpha.create(alpha.group("other")).await;
    alpha.add(&rescue, &[alpha.member("alice"), alpha.member("bob")]).await;
    alpha.add(&other, &[alpha.member("alice"), alpha.member("carol")]).await;
    let secret = alpha.create(proto::Group { home_only: true, ..alpha.group("secret") }).await;
    alpha.add(&secret, &[alpha.member("alice")]).await;
    let users = ["alice", "carol"].iter().enumerate().map(|(index, name)| {
        shared_user(&format!("0194f3a0-0000-7000-8000-{index:012}"), &alpha, &bravo, name)
    });
    let request = proto::PutSharedUsersRequest { users: users.collect() };
    alpha.migration().put_shared_users(request).await.unwrap();

    let ask = |names: &[&str], page_token: &str| proto::GroupSharingServiceGetGroupsRequest {
        mc_service_ids: names.iter().map(|name| alpha.id(name)).collect(),
        page_size: 1,
        page_token: page_token.to_owned(),
    };
    let mut peer = alpha.as_partner(&homes.1.own);
    let first = peer.get_groups(ask(&["alice", "bob"], "")).await.unwrap().into_inner();
    let summary = |page: &proto::GroupSharingServiceGetGroupsResponse| {
        let of_group = |shared: &proto::SharedGroup| {
            let members: Vec<String> =
                shared.members.iter().map(|member| member.mc_service_id.clone()).collect();
            (shared.group.as_ref().unwrap().group_id.clone(), members)
        };
        page.groups.iter().map(of_group).collect::<Vec<_>>()
    };
    assert_eq!(summary(&first), [(other.group_id, vec![alpha.id("alice"), alpha.id("carol")])]);
    let second = peer.get_groups(ask(&["alice", "bob"], &first.next_page_token)).await.unwrap().into_inner();
    assert_eq!(summary(&second), [(rescue.group_id, vec![alpha.id("alice")])]);
    let third = peer.get_groups(ask(&["alice", "bob"], &second.next_page_token)).await.unwrap().into_inner();
    assert_eq!(
        (third.groups.len(), third.next_page_token.as_str()),
        (0, ""),
        "what stays at home is left out"
    );
    // Who does not migrate there looks as who does not exist.
    let bob = peer.get_groups(ask(&["bob"], "")).await.unwrap().into_inner();
    let nobody = peer.get_groups(ask(&["nobody"], "")).await.unwrap().into_inner();
    assert_eq!((bob.clone(), bob.groups.len()), (nobody, 0));
    let mut stranger = alpha.as_partner(&charlie);
    assert!(stranger.get_groups(ask(&["alice"], "")).await.unwrap().into_inner().groups.is_empty());
    let none = proto::GroupSharingServiceGetGroupsRequest { page_size: 101, ..Default::default() };
    assert_eq!(fields(peer.get_groups(none).await), ["mc_service_ids", "page_size"]);
}

async fn nothing_is_exchanged_without_an_agreement_in_force(engine: Engine) {
    let homes = (Home::new("alpha.example", engine), Home::new("bravo.example", engine));
    let (alpha, bravo) = (homes.0.start().await, homes.1.start().await);
    let terms = homes.0.terms(alpha.peer);
    bravo.trust(&alpha);
    let mut peer = bravo.as_partner(&homes.0.own);
    let good = share(shared(&alpha.id("rescue"), &alpha.id("alice"), 1));
    peer.share_groups(good.clone()).await.unwrap();
    let suspended = mcx_federation::PartnerTerms { is_suspended: true, ..terms.clone() };
    bravo.partners.replace(vec![suspended]);
    assert_eq!(reason(peer.share_groups(good.clone()).await), "AGREEMENT_NOT_IN_FORCE");
    assert_eq!(
        reason(peer.withdraw_groups(withdraw(&alpha.id("rescue"), 1)).await),
        "AGREEMENT_NOT_IN_FORCE"
    );
    let over = Validity { until: Some(Timestamp::from_micros(1)), ..Default::default() };
    bravo.partners.replace(vec![mcx_federation::PartnerTerms { validity: over, ..terms }]);
    let ask = proto::GroupSharingServiceGetGroupsRequest {
        mc_service_ids: vec![bravo.id("alice")],
        ..Default::default()
    };
    let refused = refusal(peer.get_groups(ask).await);
    assert_eq!((refused.code, refused.reason.as_str()), (Code::FailedPrecondition, "AGREEMENT_NOT_IN_FORCE"));
    // The connection stands, but the agreement is gone.
    bravo.partners.replace(Vec::new());
    let outcome = peer.share_groups(good).await;
    assert!(outcome.is_err(), "{outcome:?}");
}

async fn malformed_news_are_refused_with_every_field_at_once(engine: Engine) {
    let homes = (Home::new("alpha.example", engine), Home::new("bravo.example", engine));
    let (alpha, bravo) = (homes.0.start().await, homes.1.start().await);
    bravo.trust(&alpha);
    let mut peer = bravo.as_partner(&homes.0.own);
    let good = shared(&alpha.id("rescue"), &alpha.id("alice"), 1);
    let broken = proto::SharedGroup {
        group: Some(proto::Group { display_name: String::new(), ..group("rescue") }),
        members: Vec::new(),
        revision: 1,
    };
    let request = proto::ShareGroupsRequest { groups: vec![good.clone(), broken, good] };
    assert_eq!(
        fields(peer.share_groups(request).await),
        [
            "groups[1].group.group_id",
            "groups[1].group.display_name",
            "groups[1].group.version",
            "groups[1].group.create_time",
            "groups[1].group.update_time",
            "groups[1].members",
            "groups[2].group.group_id",
        ]
    );
    assert_eq!(fields(peer.share_groups(proto::ShareGroupsRequest::default()).await), ["groups"]);
    let request = proto::WithdrawGroupsRequest {
        groups: vec![proto::WithdrawnGroup { group_id: "x".to_owned(), ..Default::default() }],
    };
    assert_eq!(fields(peer.withdraw_groups(request).await), ["groups[0].group_id"]);
}
