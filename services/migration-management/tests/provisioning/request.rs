//! What an operator may request, and what is said of what he may not.

use mcx_proto::migration::v1 as proto;
use mcx_proto::migration::v1::UserMigrationState as State;
use mcx_proto::types::v1::McService;
use mcx_runtime::error::VIOLATIONS_LEFT_OUT;
use tonic::Code;
use uuid::Uuid;

use crate::systems::{Systems, fields, identities, on_every_database, refusal, request, user_to_migrate};

on_every_database!(
    everything_wrong_with_any_user_is_reported_at_once,
    users_of_whom_a_migration_goes_on_are_reported_by_path,
    dry_run_reports_everything_and_changes_nothing,
    thousands_of_unknown_users_are_counted_in_the_error_and_listed_by_a_dry_run,
    repeated_request_gets_the_first_answer,
    partner_without_agreement_is_refused,
);

async fn everything_wrong_with_any_user_is_reported_at_once(systems: Systems) {
    let good = user_to_migrate;
    let malformed = vec![
        good("alice"),
        proto::UserToMigrate { mc_id: "with space".to_owned(), ..good("bob") },
        proto::UserToMigrate { primary_identities: Some(identities("", "alpha.example")), ..good("chloe") },
        proto::UserToMigrate { mc_services: vec![99], ..good("dora") },
        proto::UserToMigrate {
            valid_until: Some(prost_types::Timestamp { seconds: 1, nanos: 0 }),
            ..good("emil")
        },
        proto::UserToMigrate { primary_identities: good("alice").primary_identities, ..good("franz") },
        good("alice"),
    ];
    let outcome = systems.alpha.migrations().request_user_migration(request(malformed)).await;
    assert_eq!(
        fields(outcome),
        [
            "users[1].mc_id",
            "users[2].primary_identities.impi",
            "users[2].primary_identities.impus[0]",
            "users[3].mc_services[0]",
            "users[4].valid_until",
            "users[5].primary_identities.impus[0]",
            "users[5].primary_identities.impi",
            "users[6].mc_id",
            "users[6].primary_identities.impus[0]",
            "users[6].primary_identities.impi",
        ]
    );
    let video = vec![McService::Video.into(), McService::Ptt.into()];
    let unknown = vec![
        good("alice"),
        good("nobody1"),
        proto::UserToMigrate { mc_services: video, ..good("bob") },
        good("nobody2"),
    ];
    let outcome = systems.alpha.migrations().request_user_migration(request(unknown)).await;
    assert_eq!(fields(outcome), ["users[1].mc_id", "users[2].mc_services", "users[3].mc_id"]);
    let none = systems.alpha.migrations().request_user_migration(request(Vec::new())).await;
    assert_eq!(fields(none), ["users"]);
}

async fn users_of_whom_a_migration_goes_on_are_reported_by_path(systems: Systems) {
    systems.pending(&["alice", "bob"]).await;
    let permit = proto::MigrationPermit {
        primary_impi: "dora@alpha.example".to_owned(),
        partner_mc_system_id: "bravo.example".to_owned(),
        partner_identities: Some(identities("dora", "visitors.bravo.example")),
        ..Default::default()
    };
    let by_hand = proto::CreatePermitRequest { permit: Some(permit), ..Default::default() };
    systems.alpha.permits().create_permit(by_hand).await.unwrap();
    let others = proto::UserToMigrate {
        primary_identities: Some(identities("bob", "alpha.example")),
        ..user_to_migrate("emil")
    };
    let users = vec![user_to_migrate("chloe"), user_to_migrate("alice"), others, user_to_migrate("dora")];
    let outcome = systems.alpha.migrations().request_user_migration(request(users)).await;
    assert_eq!(
        fields(outcome),
        ["users[1].mc_id", "users[2].primary_identities.impi", "users[3].primary_identities.impi"]
    );
}

async fn dry_run_reports_everything_and_changes_nothing(systems: Systems) {
    let dry_run = |users| proto::RequestUserMigrationRequest { dry_run: true, ..request(users) };
    let mut client = systems.alpha.migrations();
    let bad = dry_run(vec![user_to_migrate("nobody"), user_to_migrate("alice")]);
    let answer = client.request_user_migration(bad).await.unwrap().into_inner();
    let wrong: Vec<_> = answer.violations.iter().map(|violation| violation.field.as_str()).collect();
    assert_eq!(wrong, ["users[0].mc_id"]);

    let good = dry_run(vec![user_to_migrate("alice"), user_to_migrate("bob")]);
    let answer = client.request_user_migration(good).await.unwrap().into_inner();
    assert_eq!((answer.user_count, answer.user_migration_request_id.as_str()), (2, ""));
    assert_eq!(answer.violations, []);
    let listed = client.list_user_migrations(proto::ListUserMigrationsRequest::default()).await.unwrap();
    assert_eq!(listed.into_inner().user_migrations, []);
}

async fn thousands_of_unknown_users_are_counted_in_the_error_and_listed_by_a_dry_run(systems: Systems) {
    let users: Vec<_> = (0..3_000).map(|index| user_to_migrate(&format!("nobody{index}"))).collect();
    let mut client = systems.alpha.migrations();
    let refused = refusal(client.request_user_migration(request(users.clone())).await);
    let left_out: usize = refused.metadata[VIOLATIONS_LEFT_OUT].parse().unwrap();
    assert_eq!((refused.code, refused.violations.len() + left_out), (Code::InvalidArgument, 3_000));
    assert!(left_out > 0 && refused.violations[9].field == "users[9].mc_id", "{refused:?}");
    let dry_run = proto::RequestUserMigrationRequest { dry_run: true, ..request(users) };
    let answer = client.request_user_migration(dry_run).await.unwrap().into_inner();
    assert_eq!(answer.violations.len(), 3_000);
}

async fn repeated_request_gets_the_first_answer(systems: Systems) {
    let request_id = Uuid::from_u128(7).to_string();
    let first = proto::RequestUserMigrationRequest {
        request_id: request_id.clone(),
        ..request(vec![user_to_migrate("alice")])
    };
    let mut client = systems.alpha.migrations();
    let answer = client.request_user_migration(first.clone()).await.unwrap().into_inner();
    let repeated = client.request_user_migration(first).await.unwrap().into_inner();
    assert_eq!(repeated, answer);
    let other = proto::RequestUserMigrationRequest { request_id, ..request(vec![user_to_migrate("bob")]) };
    assert_eq!(refusal(client.request_user_migration(other).await).reason, "REQUEST_ID_REUSED");
    systems.wait(&answer.user_migration_request_id, State::PendingAtPartner, State::Pending).await;
}

async fn partner_without_agreement_is_refused(systems: Systems) {
    let elsewhere = proto::RequestUserMigrationRequest {
        partner_mc_system_id: "charlie.example".to_owned(),
        ..request(vec![user_to_migrate("alice")])
    };
    let refused = refusal(systems.alpha.migrations().request_user_migration(elsewhere).await);
    assert_eq!((refused.code, refused.reason.as_str()), (Code::FailedPrecondition, "AGREEMENT_UNKNOWN"));
    systems.alpha.entities.set_away(mcx_types::Entity::IdentityManagement, true);
    let users = request(vec![user_to_migrate("alice")]);
    let refused = refusal(systems.alpha.migrations().request_user_migration(users).await);
    assert_eq!((refused.code, refused.reason.as_str()), (Code::Unavailable, "ENTITY_UNREACHABLE"));
    assert_eq!(refused.metadata["hop"], "alpha.example/identity-management");
}
