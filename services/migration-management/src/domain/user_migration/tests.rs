use super::*;
use crate::domain::samples;

const NOW: Timestamp = Timestamp::from_micros(100);
const LATER: Timestamp = Timestamp::from_micros(200);

fn backoff() -> Backoff {
    Backoff { first: Duration::from_micros(10), longest: Duration::from_micros(50) }
}

/// Does every step until there is none, and says which they were.
fn run(migration: &mut UserMigration) -> Vec<Step> {
    let mut done = Vec::new();
    while let Some(step) = migration.progress.next_step {
        assert!(done.len() < 20, "{done:?}");
        migration.step_done(step, LATER);
        done.push(step);
    }
    done
}

fn answer(state: UserMigrationState) -> PeerAnswer {
    PeerAnswer { state, reason: None, cause: "theirs".to_owned() }
}

#[test]
fn accepted_user_is_put_in_place_step_by_step_until_it_is_in_force() {
    let mut visitor = samples::user_migration(MigrationRole::Partner, UserMigrationState::Pending);
    visitor.accept(samples::grant(), NOW);
    assert_eq!(
        run(&mut visitor),
        [Step::PutVisitorIdentities, Step::PutVisitorConfiguration, Step::PutVisitorGroups, Step::Report]
    );
    assert_eq!(visitor.progress.state, UserMigrationState::InForce);

    let mut own = samples::user_migration(MigrationRole::Primary, UserMigrationState::PendingAtPartner);
    own.accept(samples::grant(), NOW);
    assert_eq!(run(&mut own), [Step::PutExchangeTargets, Step::PutMigrationTargets, Step::PutSharedUsers]);
    assert_eq!(own.progress.state, UserMigrationState::InForce);
}

#[test]
fn revocation_undoes_everything_that_acceptance_put_in_place_and_tells_the_peer_last() {
    for role in [MigrationRole::Primary, MigrationRole::Partner] {
        let mut migration = samples::user_migration(role, UserMigrationState::Pending);
        migration.accept(samples::grant(), NOW);
        let put = run(&mut migration).into_iter().filter(|step| step.as_str().starts_with("PUT_")).count();
        migration.revoke("ours", false, LATER);
        let undone = run(&mut migration);
        let deleted = undone.iter().filter(|step| step.as_str().starts_with("DELETE_")).count();
        assert_eq!(deleted, put, "{undone:?}");
        assert!(undone.contains(&Step::EndMigrations));
        assert_eq!(undone.last(), Some(&Step::Report));
        assert_eq!(migration.progress.state, UserMigrationState::Revoked);
        assert_eq!(migration.progress.cause, "ours");
    }
}

#[test]
fn what_was_never_accepted_leaves_nothing_to_undo() {
    for (role, state) in [
        (MigrationRole::Primary, UserMigrationState::Requested),
        (MigrationRole::Primary, UserMigrationState::PendingAtPartner),
        (MigrationRole::Partner, UserMigrationState::Pending),
    ] {
        let mut migration = samples::user_migration(role, state);
        migration.revoke("", false, NOW);
        assert_eq!(run(&mut migration), [Step::Report]);
    }
}

#[test]
fn step_that_ends_after_a_revocation_does_not_bring_the_migration_back() {
    let mut visitor = samples::user_migration(MigrationRole::Partner, UserMigrationState::Pending);
    visitor.accept(samples::grant(), NOW);
    visitor.revoke("", false, NOW);
    let revoking = visitor.clone();
    visitor.step_done(Step::PutVisitorIdentities, LATER);
    visitor.step_failed(Step::PutVisitorIdentities, "late", backoff(), LATER);
    visitor.answered(Step::Offer, &answer(UserMigrationState::Pending), LATER);
    assert_eq!(visitor, revoking);
}

#[test]
fn failed_step_is_tried_again_later_each_time_and_never_too_late() {
    let mut own = samples::user_migration(MigrationRole::Primary, UserMigrationState::Requested);
    own.progress.next_step = Some(Step::Offer);
    let waits: Vec<i64> = (0..5)
        .map(|_| {
            own.step_failed(Step::Offer, "away", backoff(), NOW);
            own.progress.next_attempt_at.as_micros() - NOW.as_micros()
        })
        .collect();
    assert_eq!(waits, [10, 20, 40, 50, 50]);
    assert_eq!((own.progress.failed_attempts, own.progress.last_error.as_str()), (5, "away"));
    own.answered(Step::Offer, &answer(UserMigrationState::Pending), LATER);
    assert_eq!((own.progress.failed_attempts, own.progress.last_error.as_str()), (0, ""));
}

#[test]
fn answer_to_an_offer_is_waited_upon_or_ends_it() {
    use UserMigrationState::{Accepted, InForce, Pending, PendingAtPartner, Refused, Revoked, Revoking};
    let cases = [
        (Pending, PendingAtPartner),
        (Accepted, PendingAtPartner),
        (InForce, PendingAtPartner),
        (Refused, Refused),
        (Revoked, Revoking),
    ];
    for (theirs, ours) in cases {
        let mut own = samples::user_migration(MigrationRole::Primary, UserMigrationState::Requested);
        own.progress.next_step = Some(Step::Offer);
        own.answered(Step::Offer, &answer(theirs), NOW);
        assert_eq!(own.progress.state, ours, "the partner says {theirs:?}");
    }
}

#[test]
fn report_of_what_the_primary_took_back_is_undone_without_telling_it_again() {
    for theirs in [UserMigrationState::Revoking, UserMigrationState::Revoked, UserMigrationState::Refused] {
        let mut visitor = samples::user_migration(MigrationRole::Partner, UserMigrationState::Accepted);
        visitor.grant = Some(samples::grant());
        visitor.progress.next_step = Some(Step::Report);
        visitor.answered(Step::Report, &answer(theirs), NOW);
        assert_eq!(visitor.progress.state, UserMigrationState::Revoking);
        assert!(visitor.progress.is_peer_told);
    }
}

#[test]
fn first_decision_wins_and_the_same_one_again_is_content() {
    use UserMigrationState as State;
    let cases = [
        (MigrationRole::Partner, State::Pending, Decision::Accept, Verdict::Open),
        (MigrationRole::Partner, State::Pending, Decision::Refuse, Verdict::Open),
        (MigrationRole::Partner, State::Accepted, Decision::Accept, Verdict::DecidedSo),
        (MigrationRole::Partner, State::InForce, Decision::Accept, Verdict::DecidedSo),
        (MigrationRole::Partner, State::Refused, Decision::Accept, Verdict::DecidedOtherwise),
        (MigrationRole::Partner, State::Accepted, Decision::Refuse, Verdict::DecidedOtherwise),
        (MigrationRole::Partner, State::Refused, Decision::Refuse, Verdict::DecidedSo),
        (MigrationRole::Partner, State::Revoked, Decision::Accept, Verdict::DecidedOtherwise),
        (MigrationRole::Primary, State::PendingAtPartner, Decision::Accept, Verdict::DecidedOtherwise),
        (MigrationRole::Primary, State::Requested, Decision::Revoke, Verdict::Open),
        (MigrationRole::Partner, State::InForce, Decision::Revoke, Verdict::Open),
        (MigrationRole::Partner, State::Revoked, Decision::Revoke, Verdict::DecidedSo),
        (MigrationRole::Primary, State::Refused, Decision::Revoke, Verdict::DecidedOtherwise),
    ];
    for (role, state, decision, expected) in cases {
        let migration = samples::user_migration(role, state);
        assert_eq!(migration.verdict(decision), expected, "{decision:?} of {state:?} as {role:?}");
    }
}
