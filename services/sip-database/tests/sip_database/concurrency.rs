//! No sequence number twice, whoever asks at once.

use std::collections::HashSet;
use std::sync::Arc;

use mcx_aka::{AuthenticationVector, Sqn};
use mcx_store::Database;
use mcx_testkit::SequenceAudit;
use sip_database::client::SipAuthenticationClient;
use tokio::task::JoinSet;

use crate::fixture::{Engine, Replica, System, User, on_every_database, system_id};

on_every_database!(concurrent_requests_never_get_a_sequence_number_twice);

/// What one task got: for which user, in which order.
type Got = Vec<(usize, AuthenticationVector)>;

/// Asks over and over in many tasks at once, each with one of the clients, and returns what each task got.
async fn load(
    clients: &[SipAuthenticationClient],
    users: &Arc<Vec<User>>,
    tasks: usize,
    requests_per_task: usize,
) -> Vec<Got> {
    let mut running = JoinSet::new();
    for task in 0..tasks {
        let client = clients[task % clients.len()].clone();
        let users = Arc::clone(users);
        running.spawn(async move {
            let mut got = Vec::new();
            for round in 0..requests_per_task {
                let user = (task * 7 + round) % users.len();
                let count = u32::try_from(round % 3).unwrap() + 1;
                let made = client.authentication_information(users[user].identities(), None, count, None);
                got.extend(made.await.unwrap().vectors.into_iter().map(|vector| (user, vector)));
            }
            got
        });
    }
    running.join_all().await
}

/// Checks that no SEQ was issued twice, that none is missing, and that each user's ISIM takes her vectors in their order.
async fn check(database: &Database, users: Arc<Vec<User>>, got: Vec<Got>) {
    let mut users = Arc::try_unwrap(users).ok().unwrap();
    let mut audit = SequenceAudit::new();
    let mut of_users: Vec<Vec<(Sqn, AuthenticationVector)>> = users.iter().map(|_| Vec::new()).collect();
    for (user, vector) in got.into_iter().flatten() {
        let impi = users[user].identities().impi.as_str();
        let sqn = audit.record(impi, &users[user].milenage(), &vector);
        of_users[user].push((sqn, vector));
    }
    for (user, mut vectors) in users.iter_mut().zip(of_users) {
        vectors.sort_by_key(|(sqn, _)| *sqn);
        for (_, vector) in &vectors {
            user.answer(vector).unwrap();
        }
        let counter = "SELECT last_issued FROM sequence WHERE impi = $1";
        let impi = user.identities().impi.as_str();
        let (last_issued,): (i64,) = database.statement(counter).bind(impi).fetch_one().await.unwrap();
        let count = i64::try_from(audit.count_of(impi)).unwrap();
        assert_eq!(last_issued, count, "numbers were lost without a fault");
    }
}

async fn provision(system: &System, replica: &Replica, count: usize) -> Arc<Vec<User>> {
    let users: Vec<User> = (0..count).map(|number| User::named(&format!("user{number}"))).collect();
    let new: Vec<_> = users.iter().map(|user| user.new.clone()).collect();
    assert_eq!(system.operator(replica).import(new).await.unwrap().created_count, count as u64);
    Arc::new(users)
}

async fn concurrent_requests_never_get_a_sequence_number_twice(system: System) {
    let replica = system.replica().await;
    let users = provision(&system, &replica, 5).await;
    let got = load(&[system.sip_core(&replica)], &users, 24, 12).await;
    check(&system.open(), users, got).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_replicas_under_load_never_issue_a_sequence_number_twice_nor_fail() {
    let system = System::new(Engine::Postgres).await;
    let [one, two] = [system.replica().await, system.replica().await];
    let users = provision(&system, &one, 12).await;
    let clients = [system.sip_core(&one), system.sip_core(&two)];
    let got = load(&clients, &users, 32, 25).await;
    check(&system.open(), users, got).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replicas_that_meet_partners_at_once_agree_on_their_numbers() {
    let system = System::new(Engine::Postgres).await;
    let [one, two] = [system.replica().await, system.replica().await];
    let user = Arc::new(User::provisioned("alice", &system.operator(&one)).await);
    let clients = [system.migration_management(&one), system.migration_management(&two)];
    let asking = (0..40).map(|number| {
        let client = &clients[number % 2];
        let user = Arc::clone(&user);
        async move {
            let partner = system_id(&format!("partner{}.example", number / 4));
            let made = client.authentication_information(user.identities(), None, 1, Some(&partner)).await;
            let sqn = SequenceAudit::new().record("alice", &user.milenage(), &made.unwrap().vectors[0]);
            (partner, sqn.index().get())
        }
    });
    let indexes: HashSet<(_, u8)> = futures::future::join_all(asking).await.into_iter().collect();
    assert_eq!(indexes.len(), 10, "each partner has one ind");
    let distinct: HashSet<u8> = indexes.iter().map(|(_, index)| *index).collect();
    assert_eq!(distinct, (1..=10).collect(), "and no two have the same");
}
