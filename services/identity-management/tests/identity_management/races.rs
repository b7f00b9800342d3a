//! What replicas do to one user at once: tokens are issued to her while the right to them is taken away. On Postgres, where transactions see
//! each other's work as soon as it is committed, one waits for the other; SQLite lets one write at a time.

use std::pin::pin;
use std::time::Duration;

use futures::future::join_all;
use mcx_proto::identity::v1 as proto;
use mcx_store::{Database, Transaction};
use mcx_types::Clock;
use reqwest::StatusCode;
use tokio::time::timeout;

use crate::fixture::{Engine, PASSWORD, System};
use crate::user_agent::{UserAgent, claims};
use crate::visit::{ASSERTION_REFUSED, Visit, on_every_database};

on_every_database!(no_token_that_is_issued_beside_a_revocation_outlives_it);

async fn no_token_that_is_issued_beside_a_revocation_outlives_it(visit: Visit) {
    let agent = visit.bravo.user_agent();
    let (migration, bravo) = (visit.migration_id, visit.at_bravo());
    for _ in 0..3 {
        let first = visit.arrive().await;
        let tokens = join_all((0..6).map(|_| visit.security_token())).await;
        let (brought, refreshed, revoked, deleted) = tokio::join!(
            join_all(tokens.iter().map(|token| agent.bring(token))),
            agent.refresh(first.refresh_token()),
            bravo.revoke_subjects([], [migration]),
            bravo.delete_visitors([migration]),
        );
        assert!(revoked.is_ok(), "{revoked:?}");
        assert_eq!(deleted, Ok(1));
        for answer in brought.iter().chain([&refreshed, &first]) {
            match answer.status {
                StatusCode::OK => {
                    let token = answer.access_token();
                    assert!(visit.bravo.replica.verifier.verify(token).is_err(), "{:?}", claims(token));
                }
                _ => assert_eq!(answer.refusal().1, "invalid_grant"),
            }
        }
        bravo.put_visitors(vec![visit.visitor.clone()]).await.unwrap();
    }
}

/// What is asked while another replica has done something that is not committed: it has to wait for that.
async fn behind<T>(pending: Transaction, database: &Database, asked: impl Future<Output = T>) -> T {
    let mut asked = pin!(asked);
    let somebody_waits = async {
        let waiting = "SELECT COUNT(*) FROM pg_stat_activity WHERE datname = current_database() \
                       AND wait_event_type = 'Lock'";
        loop {
            let (count,): (i64,) = database.statement(waiting).fetch_one().await.unwrap();
            if count > 0 {
                return;
            }
        }
    };
    tokio::select! {
        _ = &mut asked => panic!("it did not wait"),
        waited = timeout(Duration::from_secs(20), somebody_waits) => waited.expect("somebody waits"),
    }
    pending.commit().await.unwrap();
    asked.await
}

async fn run(transaction: &mut Transaction, statement: &'static str, key: &str) {
    let changed = transaction.statement(statement).bind(key).execute().await.unwrap();
    assert!(changed > 0, "{statement}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn visitor_who_is_being_removed_gets_nothing() {
    let visit = Visit::new(Engine::Postgres).await;
    let agent = visit.bravo.user_agent();
    let database = visit.bravo.ground.database();
    let (arrived, token) = (visit.arrive().await, visit.security_token().await);
    let id = visit.migration_id.to_string();

    let mut removed = database.begin().await.unwrap();
    run(&mut removed, "DELETE FROM visitor WHERE migration_id = $1", &id).await;
    let refused = behind(removed, &database, agent.bring(&token)).await;
    assert_eq!(refused.refusal(), ASSERTION_REFUSED);
    assert_eq!(agent.refresh(arrived.refresh_token()).await.refusal().1, "invalid_grant");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn visitor_who_is_being_mapped_otherwise_gets_what_she_is_mapped_to() {
    let visit = Visit::new(Engine::Postgres).await;
    let database = visit.bravo.ground.database();
    let token = visit.security_token().await;
    let id = visit.migration_id.to_string();

    let mut mapped = database.begin().await.unwrap();
    run(
        &mut mapped,
        "CREATE TEMPORARY TABLE before ON COMMIT DROP AS SELECT * FROM visitor WHERE migration_id = $1",
        &id,
    )
    .await;
    run(&mut mapped, "DELETE FROM visitor WHERE migration_id = $1", &id).await;
    run(&mut mapped, "UPDATE before SET scopes = '3gpp:mc:ptt_service' WHERE migration_id = $1", &id).await;
    run(&mut mapped, "INSERT INTO visitor SELECT * FROM before WHERE migration_id = $1", &id).await;
    let answer = behind(mapped, &database, visit.bravo.user_agent().bring(&token)).await;
    assert_eq!((answer.status, answer.text("scope")), (StatusCode::OK, "openid 3gpp:mc:ptt_service"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refresh_token_of_a_user_or_login_that_is_being_revoked_is_worth_nothing() {
    let system = System::new(Engine::Postgres).await;
    let agent = system.user_agent();
    let database = system.ground.database();
    for (name, revoke) in [
        ("alice", "UPDATE account SET state = 'DISABLED', version = version + 1 WHERE subject = $1"),
        ("bob", "DELETE FROM account WHERE subject = $1"),
        ("carol", "UPDATE token_family SET revoked_at = 1 WHERE subject = $1"),
    ] {
        let user = system.user(name).await;
        let tokens = agent.log_in(&user.mc_id).await;
        let code = agent.code(&user.mc_id, &[]).await;

        let mut revoked = database.begin().await.unwrap();
        run(&mut revoked, revoke, &user.subject).await;
        let refused = behind(revoked, &database, agent.refresh(tokens.refresh_token())).await;
        assert_eq!(refused.refusal().1, "invalid_grant", "{name}");
        assert_eq!(agent.redeem(&code).await.refusal().1, "invalid_grant", "{name}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn revocation_waits_for_what_is_being_issued_and_finds_it() {
    const ISSUE: &str = "INSERT INTO issued_token (token_id, family_id, expires_at) \
                         SELECT 'of ' || subject, family_id, ends_at FROM token_family WHERE subject = $1";
    let system = System::new(Engine::Postgres).await;
    let agent = system.user_agent();
    let database = system.ground.database();
    let (alice, bob) = (system.user("alice").await, system.user("bob").await);

    // One login, by its client.
    let tokens = agent.log_in(&alice.mc_id).await;
    let mut issued = database.begin().await.unwrap();
    run(&mut issued, "SELECT * FROM token_family WHERE subject = $1 FOR SHARE", &alice.subject).await;
    run(&mut issued, ISSUE, &alice.subject).await;
    assert_eq!(behind(issued, &database, agent.revoke(tokens.refresh_token())).await, StatusCode::OK);
    let revoked: Vec<(String,)> = database
        .statement("SELECT token_id FROM revoked_token WHERE token_id = 'of ' || $1")
        .bind(alice.subject.as_str())
        .fetch_all()
        .await
        .unwrap();
    assert_eq!(revoked.len(), 1);

    // All of a user.
    let mut issued = database.begin().await.unwrap();
    run(&mut issued, "SELECT * FROM account WHERE subject = $1 FOR SHARE", &bob.subject).await;
    run(
        &mut issued,
        "INSERT INTO token_family (family_id, client_id, subject, scopes, authenticated_at, ends_at) \
         VALUES ('00000000-0000-0000-0000-000000000001', 'ue', $1, '', 1, 9223372036854775807)",
        &bob.subject,
    )
    .await;
    let request = proto::RevokeSubjectsRequest { subjects: vec![bob.subject.clone()], ..Default::default() };
    let mut operator = system.tokens();
    behind(issued, &database, operator.revoke_subjects(request)).await.unwrap();
    let open: Vec<(String,)> = database
        .statement("SELECT family_id FROM token_family WHERE subject = $1 AND revoked_at IS NULL")
        .bind(bob.subject.as_str())
        .fetch_all()
        .await
        .unwrap();
    assert_eq!(open, []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn password_that_is_being_replaced_lets_nobody_in() {
    let system = System::new(Engine::Postgres).await;
    let agent = system.user_agent();
    let database = system.ground.database();
    for (name, change) in [
        ("alice", "UPDATE account SET password_hash = 'another', version = version + 1 WHERE subject = $1"),
        ("bob", "UPDATE account SET state = 'DISABLED', version = version + 1 WHERE subject = $1"),
        ("carol", "DELETE FROM account WHERE subject = $1"),
    ] {
        let user = system.user(name).await;
        let page = agent.open(&UserAgent::request(&[])).await;
        let mut changed = database.begin().await.unwrap();
        run(&mut changed, change, &user.subject).await;
        let refused = behind(changed, &database, agent.submit(&page, &user.mc_id, PASSWORD)).await;
        assert_eq!(refused.status, StatusCode::FORBIDDEN, "{name}");
    }
    // Another change of the account costs nobody a login.
    let dora = system.user("dora").await;
    let page = agent.open(&UserAgent::request(&[])).await;
    let mut changed = database.begin().await.unwrap();
    let rename = "UPDATE account SET display_name = 'Dora', version = version + 1 WHERE subject = $1";
    run(&mut changed, rename, &dora.subject).await;
    let answer = behind(changed, &database, agent.submit(&page, &dora.mc_id, PASSWORD)).await;
    assert_eq!(answer.status, StatusCode::SEE_OTHER);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn right_password_that_was_looked_at_while_others_were_wrong_too_often_lets_nobody_in() {
    const COUNT: &str = "INSERT INTO login_source (mc_id, source, failures, locked_until, updated_at) \
                         VALUES ($1, '', 99, $2, $2)";
    let system = System::new(Engine::Postgres).await;
    let agent = system.user_agent();
    let database = system.ground.database();
    let alice = system.user("alice").await;
    let page = agent.open(&UserAgent::request(&[])).await;
    let until = system.ground.clock.now().saturating_add(Duration::from_secs(30)).as_micros();

    let mut counted = database.begin().await.unwrap();
    let count = counted.statement(COUNT).bind(alice.mc_id.as_str()).bind(until);
    count.execute().await.unwrap();
    let locked = behind(counted, &database, agent.submit(&page, &alice.mc_id, PASSWORD)).await;
    assert_eq!(locked.status, StatusCode::TOO_MANY_REQUESTS);
}
