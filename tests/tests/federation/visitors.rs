//! Visitors whom the partner itself refuses: unknown ones, and those of bindings and agreements that are not in force.

use crossband_tests::World;
use crossband_tests::records::{all_records, latest_decision};
use crossband_tests::world::{in_hours, register, sip_answer};
use mcx_proto::migration::v1 as proto;

use crate::on_both_kinds_of_stores;

on_both_kinds_of_stores!(
    stranger_is_refused_and_concerns_nobody_else,
    public_identity_of_another_visitor_is_refused,
    visitor_of_a_binding_out_of_force_is_refused,
    visitor_of_an_agreement_out_of_force_is_refused,
);

async fn stranger_is_refused_and_concerns_nobody_else(world: World) {
    let mut phone = world.phone("alice");
    phone.impi = "mallory@visitors.bravo.example".parse().unwrap();
    phone.impu = "sip:mallory@visitors.bravo.example".parse().unwrap();
    assert_eq!(sip_answer(&register(phone).await).0, 403);
    // There is no user whose vector was at stake, so there is nothing to record.
    assert_eq!(all_records(world.bravo()).await, []);
    assert_eq!(all_records(world.alpha()).await, []);
}

async fn public_identity_of_another_visitor_is_refused(world: World) {
    let mut phone = world.phone("alice");
    phone.impu = world.user("bob").partner.identities.impus[0].clone();
    assert_eq!(sip_answer(&register(phone).await).0, 403);
    let alice = world.user("alice").identities.impi.as_str();
    assert_eq!(latest_decision(world.bravo(), alice).await, "REFUSED IDENTITIES_DO_NOT_MATCH");
    assert_eq!(all_records(world.alpha()).await, [], "the primary was not even asked");
}

async fn visitor_of_a_binding_out_of_force_is_refused(world: World) {
    type Change = fn(&mut proto::Binding);
    let cases: [(Change, &str); 3] = [
        (|binding| binding.set_state(proto::BindingState::Suspended), "BINDING_SUSPENDED"),
        (|binding| binding.valid_from = in_hours(1), "BINDING_NOT_YET_VALID"),
        (|binding| binding.valid_until = in_hours(-1), "BINDING_EXPIRED"),
    ];
    let alice = world.user("alice").identities.impi.as_str();
    for (change, reason) in cases {
        world.change_binding("alice", change).await;
        assert_eq!(sip_answer(&world.register("alice").await).0, 403, "{reason}");
        assert_eq!(latest_decision(world.bravo(), alice).await, format!("REFUSED {reason}"));
        let restore = |binding: &mut proto::Binding| {
            binding.set_state(proto::BindingState::Enabled);
            (binding.valid_from, binding.valid_until) = (None, None);
        };
        world.change_binding("alice", restore).await;
    }
    assert_eq!(all_records(world.alpha()).await, [], "the primary was not even asked");
    assert_eq!(sip_answer(&world.register("alice").await).0, 200, "it was the binding and nothing else");
}

async fn visitor_of_an_agreement_out_of_force_is_refused(world: World) {
    let alice = world.user("alice").identities.impi.as_str();
    for (change, reason) in OUT_OF_FORCE {
        world.change_agreement_of_partner(change).await;
        assert_eq!(sip_answer(&world.register("alice").await).0, 403, "{reason}");
        assert_eq!(latest_decision(world.bravo(), alice).await, format!("REFUSED {reason}"));
        world.change_agreement_of_partner(in_force).await;
    }
    assert_eq!(all_records(world.alpha()).await, [], "the primary was not even asked");
    assert_eq!(sip_answer(&world.register("alice").await).0, 200, "it was the agreement and nothing else");
}

type Change = fn(&mut proto::Agreement);

/// What takes an agreement out of force, and the reason it is then refused with.
pub(crate) const OUT_OF_FORCE: [(Change, &str); 3] = [
    (|agreement| agreement.set_state(proto::AgreementState::Suspended), "AGREEMENT_SUSPENDED"),
    (|agreement| agreement.valid_from = in_hours(1), "AGREEMENT_NOT_YET_VALID"),
    (|agreement| agreement.valid_until = in_hours(-1), "AGREEMENT_EXPIRED"),
];

/// Puts an agreement in force again.
pub(crate) fn in_force(agreement: &mut proto::Agreement) {
    agreement.set_state(proto::AgreementState::Active);
    (agreement.valid_from, agreement.valid_until) = (None, None);
}
