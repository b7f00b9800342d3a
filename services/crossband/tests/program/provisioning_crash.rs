//! Bulk provisioning between two systems (TS 23.280 10.17.5) while processes are killed at random moments: it resumes, and every entity of
//! both systems ends with the same users.

use std::collections::BTreeSet;
use std::time::Duration;

use crossband::dev::{CREW_GROUP, PARTNER, PRIMARY, mc_id, mc_service_id};
use crossband::system::schema_of;
use mcx_store::{Database, DatabaseConfig};
use mcx_types::Entity;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::federated::{Access, Federated, Side, until};

/// How many users are in a request, and how many requests are under way together.
const USERS: usize = 8;
const REQUESTS: usize = 3;

/// How often each process is killed while users are put in place, and as often while that is undone: once, or as often as
/// `CROSSBAND_TEST_KILL_ROUNDS` says.
fn rounds() -> usize {
    #[expect(
        clippy::disallowed_methods,
        reason = "how thorough a test is, is no configuration of the program"
    )]
    let wanted = std::env::var("CROSSBAND_TEST_KILL_ROUNDS").ok();
    wanted.map_or(1, |rounds| rounds.parse().expect("CROSSBAND_TEST_KILL_ROUNDS is a number"))
}

/// The seed of the moments, so that a run can be had again: `CROSSBAND_TEST_SEED`, or a new one.
fn seed() -> u64 {
    #[expect(
        clippy::disallowed_methods,
        reason = "which moments a test tries, is no configuration of the program"
    )]
    let wanted = std::env::var("CROSSBAND_TEST_SEED").ok();
    wanted.map_or_else(rand::random, |seed| seed.parse().expect("CROSSBAND_TEST_SEED is a number"))
}

/// Which processes die: all that keep something for a user who may migrate, or drop it.
const VICTIMS: [(Side, Entity); 11] = [
    (Side::Alpha, Entity::MigrationManagement),
    (Side::Alpha, Entity::IdentityManagement),
    (Side::Alpha, Entity::ConfigurationManagement),
    (Side::Alpha, Entity::GroupManagement),
    (Side::Alpha, Entity::McService),
    (Side::Bravo, Entity::MigrationManagement),
    (Side::Bravo, Entity::IdentityManagement),
    (Side::Bravo, Entity::ConfigurationManagement),
    (Side::Bravo, Entity::GroupManagement),
    (Side::Bravo, Entity::McService),
    (Side::Bravo, Entity::SipCore),
];

/// What is in place for a user, by entity: the table in which each entity has one row or more for her migration.
const IN_PLACE: [(Side, Entity, &str); 8] = [
    (
        Side::Alpha,
        Entity::MigrationManagement,
        "SELECT DISTINCT migration_id FROM permit WHERE migration_id IS NOT NULL",
    ),
    (Side::Alpha, Entity::IdentityManagement, "SELECT DISTINCT migration_id FROM exchange_target"),
    (Side::Alpha, Entity::ConfigurationManagement, "SELECT DISTINCT migration_id FROM migration_target"),
    (Side::Alpha, Entity::GroupManagement, "SELECT DISTINCT migration_id FROM shared_user"),
    (
        Side::Bravo,
        Entity::MigrationManagement,
        "SELECT DISTINCT migration_id FROM binding WHERE migration_id IS NOT NULL",
    ),
    (Side::Bravo, Entity::IdentityManagement, "SELECT DISTINCT migration_id FROM visitor"),
    (Side::Bravo, Entity::ConfigurationManagement, "SELECT DISTINCT migration_id FROM visitor"),
    (Side::Bravo, Entity::GroupManagement, "SELECT DISTINCT migration_id FROM visitor"),
];

/// And what the partner got of the primary for her, over CSC-17.
const PROFILES: &str = "SELECT DISTINCT migration_id FROM visitor_profile";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bulk_request_is_consistent_in_both_systems_whichever_process_dies() {
    let seed = seed();
    tell(&format!("CROSSBAND_TEST_SEED={seed}"));
    let mut random = StdRng::seed_from_u64(seed);
    let world = Federated::start_without_migrations(Access::Direct).await;
    let users = Users::provision(&world).await;

    // Undisturbed, to know how long it takes; the kills come at any moment of that.
    let began = Instant::now();
    users.request(&world).await;
    users.in_force(&world).await;
    let put = began.elapsed();
    let began = Instant::now();
    users.revoke(&world).await;
    users.revoked(&world).await;
    let undone = began.elapsed();

    for (side, entity) in VICTIMS {
        for _ in 0..rounds() {
            let moment = random.random_range(Duration::ZERO..put);
            users.request(&world).await;
            kill_after(&world, side, entity, moment).await;
            users.in_force(&world).await;

            let moment = random.random_range(Duration::ZERO..undone);
            users.revoke(&world).await;
            kill_after(&world, side, entity, moment).await;
            users.revoked(&world).await;
        }
    }
}

/// Seen where the test fails.
#[expect(clippy::print_stdout, reason = "the runner shows it with the failure")]
fn tell(text: &str) {
    println!("{text}");
}

/// Kills a process at a moment of no meaning, and starts it again.
async fn kill_after(world: &Federated, side: Side, entity: Entity, moment: Duration) {
    tell(&format!("{entity} of {} dies after {moment:?}", side.id()));
    tokio::time::sleep(moment).await;
    world.system(side).kill(entity);
    world.system(side).start_and_wait(entity).await;
}

/// The users of alpha who are to migrate.
struct Users(Vec<String>);

impl Users {
    /// Makes their accounts, their user profiles, and has bravo accept everybody.
    async fn provision(world: &Federated) -> Self {
        let names: Vec<String> = (0..USERS * REQUESTS).map(|number| format!("crew-{number}")).collect();
        for name in &names {
            let identity =
                json!({ "mc_service": "MC_SERVICE_PTT", "mc_service_id": mc_service_id(name, PRIMARY) });
            let account = json!({
                "account": {
                    "mc_id": mc_id(name, PRIMARY),
                    "mc_service_identities": [identity],
                    "scopes": ["openid", "3gpp:mc:ptt_service"],
                    "display_name": name,
                },
            });
            world.operator(Side::Alpha, "AccountService/CreateAccount", account).await;
            let profile = |index: u32, more: Value| {
                let mut profile = json!({
                    "identity": identity,
                    "profile_index": index,
                    "profile_name": format!("profile {index}"),
                    "priority": 100,
                    "private_call": { "policy": "PRIVATE_CALL_POLICY_ANY" },
                    "groups": [{ "mc_service_group_id": CREW_GROUP }],
                    "max_affiliations": 10,
                });
                profile.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
                json!({ "user_profile": profile })
            };
            let at_home = json!({ "pre_selected": true, "migration_targets": [{ "mc_system_id": PARTNER }] });
            let away = json!({ "valid_in": [PARTNER] });
            for profile in [profile(0, at_home), profile(1, away)] {
                world.operator(Side::Alpha, "UserProfileService/CreateUserProfile", profile).await;
            }
        }
        let policy = json!({
            "admission_policy": { "primary_mc_system_id": PRIMARY, "mode": "ADMISSION_MODE_AUTOMATIC" },
        });
        let key = json!({ "primary_mc_system_id": PRIMARY });
        let known = world.operator(Side::Bravo, "AdmissionPolicyService/GetAdmissionPolicy", key).await;
        let mut policy = policy;
        policy["admission_policy"]["etag"] = known["admission_policy"]["etag"].clone();
        world.operator(Side::Bravo, "AdmissionPolicyService/UpdateAdmissionPolicy", policy).await;
        Self(names)
    }

    /// The operator of alpha requests them, in several requests.
    async fn request(&self, world: &Federated) {
        for users in self.0.chunks(USERS) {
            let users: Vec<Value> = users
                .iter()
                .map(|name| {
                    let id = mc_id(name, PRIMARY);
                    json!({
                        "mc_id": id,
                        "primary_identities": { "impi": id, "impus": [format!("sip:{id}")] },
                        "mc_services": ["MC_SERVICE_PTT"],
                    })
                })
                .collect();
            let request = json!({ "partner_mc_system_id": PARTNER, "users": users });
            world.operator(Side::Alpha, "UserMigrationService/RequestUserMigration", request).await;
        }
    }

    /// The operator of alpha revokes all that is not over.
    async fn revoke(&self, world: &Federated) {
        let ids = ids(&going_on(world, Side::Alpha).await);
        let selection = json!({ "selection": { "migration_ids": ids }, "cause": "the end" });
        world.operator(Side::Alpha, "UserMigrationService/RevokeUserMigrations", selection).await;
    }

    /// Waits until all are in force on both sides; then every entity has exactly them.
    async fn in_force(&self, world: &Federated) {
        until("in force on both sides", async || {
            for side in [Side::Alpha, Side::Bravo] {
                let found = going_on(world, side).await;
                let waiting =
                    found.iter().find(|migration| migration["state"] != "USER_MIGRATION_STATE_IN_FORCE");
                if found.len() != self.0.len() || waiting.is_some() {
                    return Err(format!("{}: {} users, such as {waiting:?}", side.id(), found.len()));
                }
            }
            Ok(())
        })
        .await;
        let ids = ids(&going_on(world, Side::Alpha).await);
        assert_eq!(ids.len(), self.0.len());
        for (side, entity, sql) in IN_PLACE {
            assert_eq!(rows(world, side, entity, sql).await, ids, "{entity} of {}", side.id());
        }
        until("the user profiles at the partner", async || {
            let profiles = rows(world, Side::Bravo, Entity::ConfigurationManagement, PROFILES).await;
            if profiles == ids { Ok(()) } else { Err(format!("{} of {}", profiles.len(), ids.len())) }
        })
        .await;
    }

    /// Waits until all are revoked on both sides; then no entity has anything of any.
    async fn revoked(&self, world: &Federated) {
        until("revoked on both sides", async || {
            for side in [Side::Alpha, Side::Bravo] {
                let found = going_on(world, side).await;
                if !found.is_empty() {
                    return Err(format!("{}: {} users, such as {}", side.id(), found.len(), found[0]));
                }
            }
            Ok(())
        })
        .await;
        for (side, entity, sql) in IN_PLACE {
            assert!(rows(world, side, entity, sql).await.is_empty(), "{entity} of {}", side.id());
        }
        let profiles = rows(world, Side::Bravo, Entity::ConfigurationManagement, PROFILES).await;
        assert!(profiles.is_empty(), "{profiles:?}");
    }
}

/// The user migrations that are not over.
async fn going_on(world: &Federated, side: Side) -> Vec<Value> {
    let mut found = Vec::new();
    let mut token = String::new();
    loop {
        let request = json!({ "page_size": 1_000, "page_token": token });
        let mut page = world.operator(side, "UserMigrationService/ListUserMigrations", request).await;
        if let Value::Array(migrations) = page["user_migrations"].take() {
            found.extend(migrations);
        }
        page["next_page_token"].as_str().unwrap_or_default().clone_into(&mut token);
        if token.is_empty() {
            break;
        }
    }
    let over = ["USER_MIGRATION_STATE_REVOKED", "USER_MIGRATION_STATE_REFUSED"];
    found.retain(|migration| !over.contains(&migration["state"].as_str().unwrap_or_default()));
    found
}

fn ids(migrations: &[Value]) -> BTreeSet<String> {
    migrations.iter().filter_map(|migration| migration["migration_id"].as_str()).map(str::to_owned).collect()
}

/// What is in the database of an entity.
async fn rows(world: &Federated, side: Side, entity: Entity, sql: &'static str) -> BTreeSet<String> {
    let config = DatabaseConfig::from_url(world.system(side).database_url());
    let database = Database::open(&config, schema_of(entity).unwrap()).unwrap();
    let rows: Vec<(String,)> = database.statement(sql).fetch_all().await.unwrap();
    database.close().await;
    rows.into_iter().map(|(id,)| id).collect()
}
