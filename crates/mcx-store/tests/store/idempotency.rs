//! A mutating request that is repeated is carried out once.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use mcx_store::idempotency::{Claim, MutatingRequest, forget_requests_before};
use mcx_store::{Database, StoreError};
use uuid::Uuid;

use crate::fixture::{EmptyDatabase, on_every_database};

on_every_database!(
    repetition_gets_the_first_answer_and_other_content_or_method_none,
    request_that_was_not_carried_out_to_its_end_may_be_repeated,
    concurrent_repetitions_are_carried_out_once,
    old_requests_are_forgotten_and_then_carried_out_anew,
);

const CREATE: &str = "/test.v1.ItemService/CreateItem";
const DELETE: &str = "/test.v1.ItemService/DeleteItem";

async fn database_with_requests(empty: &EmptyDatabase) -> Database {
    let database = empty.migrated().await;
    let table = database.dialect(
        "CREATE TABLE request (id TEXT PRIMARY KEY, method TEXT NOT NULL, content BYTEA NOT NULL, \
         response BYTEA, created_at BIGINT NOT NULL)",
        "CREATE TABLE request (id TEXT PRIMARY KEY, method TEXT NOT NULL, content BLOB NOT NULL, \
         response BLOB, created_at BIGINT NOT NULL)",
    );
    database.statement(table).execute().await.unwrap();
    database
}

/// Carries the request out unless that was done before, and returns its answer; `None` where its id is taken.
async fn carry_out(
    database: &Database,
    request: &MutatingRequest,
    now: i64,
    work: impl FnOnce() -> Vec<u8>,
) -> Result<Option<Vec<u8>>, StoreError> {
    let mut transaction = database.begin().await?;
    match request.claim(&mut transaction, now).await? {
        Claim::Answered(answer) => Ok(Some(answer)),
        Claim::Reused => Ok(None),
        Claim::Granted => {
            let answer = work();
            request.answer(&mut transaction, &answer).await?;
            transaction.commit().await?;
            Ok(Some(answer))
        }
    }
}

async fn repetition_gets_the_first_answer_and_other_content_or_method_none(empty: EmptyDatabase) {
    let database = database_with_requests(&empty).await;
    let id = Uuid::new_v4();
    let request = MutatingRequest::new(id, CREATE, b"item");
    let first = carry_out(&database, &request, 1, || b"first".to_vec()).await.unwrap();
    assert_eq!(first.as_deref(), Some(&b"first"[..]));
    let repeated = carry_out(&database, &request, 1, || b"second".to_vec()).await.unwrap();
    assert_eq!(repeated.as_deref(), Some(&b"first"[..]));
    for other in [MutatingRequest::new(id, CREATE, b"other"), MutatingRequest::new(id, DELETE, b"item")] {
        assert_eq!(carry_out(&database, &other, 1, || b"other".to_vec()).await.unwrap(), None);
    }
}

async fn request_that_was_not_carried_out_to_its_end_may_be_repeated(empty: EmptyDatabase) {
    let database = database_with_requests(&empty).await;
    let request = MutatingRequest::new(Uuid::new_v4(), CREATE, b"item");
    let mut transaction = database.begin().await.unwrap();
    assert_eq!(request.claim(&mut transaction, 1).await.unwrap(), Claim::Granted);
    transaction.rollback().await.unwrap();
    let answer = carry_out(&database, &request, 2, || b"done".to_vec()).await.unwrap();
    assert_eq!(answer.as_deref(), Some(&b"done"[..]));
}

async fn concurrent_repetitions_are_carried_out_once(empty: EmptyDatabase) {
    let database = database_with_requests(&empty).await;
    let request = MutatingRequest::new(Uuid::new_v4(), CREATE, b"item");
    let carried_out = Arc::new(AtomicUsize::new(0));
    let mut running = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let (database, request) = (database.clone(), request.clone());
        let carried_out = Arc::clone(&carried_out);
        running.spawn(async move {
            let work = || carried_out.fetch_add(1, Ordering::SeqCst).to_string().into_bytes();
            carry_out(&database, &request, 1, work).await.unwrap()
        });
    }
    let answers = running.join_all().await;
    assert!(answers.iter().all(|answer| answer.as_deref() == Some(&b"0"[..])), "{answers:?}");
    assert_eq!(carried_out.load(Ordering::SeqCst), 1);
}

async fn old_requests_are_forgotten_and_then_carried_out_anew(empty: EmptyDatabase) {
    let database = database_with_requests(&empty).await;
    let [old, young] = [10, 20].map(|now| (MutatingRequest::new(Uuid::new_v4(), CREATE, b"item"), now));
    for (request, now) in [&old, &young] {
        carry_out(&database, request, *now, || b"first".to_vec()).await.unwrap();
    }
    assert_eq!(forget_requests_before(&database, 20).await.unwrap(), 1);
    for ((request, now), expected) in [(&old, b"anew!"), (&young, b"first")] {
        let answer = carry_out(&database, request, *now, || b"anew!".to_vec()).await.unwrap();
        assert_eq!(answer.as_deref(), Some(&expected[..]));
    }
}
