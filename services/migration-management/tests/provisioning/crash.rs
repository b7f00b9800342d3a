//! A process that dies, or an entity that fails, at each single call: afterwards both systems agree, and nothing is left half done.

use std::time::Duration;

use futures::{StreamExt, stream};
use mcx_proto::migration::v1 as proto;
use mcx_proto::migration::v1::UserMigrationState as State;

use crate::entities::Fault;
use crate::saga::{of_partner, of_primary, places};
use crate::systems::{Engine, Systems, of_request};

/// How many pairs of systems live at the same time.
const LIVES_AT_ONCE: usize = 6;

/// Short, since each process that dies is waited for that long.
const CLAIM_LIFETIME: Duration = Duration::from_secs(1);

/// Which system the fault is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Alpha,
    Bravo,
}

/// The whole life of a migration, with bravo's policy accepting: to the end, and back. `fault`: in which system, at which of its calls.
async fn life(engine: Engine, fault: Option<(Side, usize, Fault)>) -> (usize, usize) {
    let mut systems = Systems::with_claims_of(engine, CLAIM_LIFETIME).await;
    let automatic = proto::AdmissionPolicy {
        primary_mc_system_id: "alpha.example".to_owned(),
        mode: proto::AdmissionMode::Automatic.into(),
        ..Default::default()
    };
    systems.bravo.admit(automatic).await;
    let request_id = systems.request(&["alice", "bob"]).await;
    if let Some((side, call, fault)) = fault {
        let entities = match side {
            Side::Alpha => &systems.alpha.entities,
            Side::Bravo => &systems.bravo.entities,
        };
        // The first call of alpha was that of the request itself.
        entities.fault_at(call, fault);
    }
    until_settled(&mut systems, &request_id, State::InForce, fault).await;
    assert_eq!(places(&systems.alpha.entities), of_primary(2), "{fault:?}");
    assert_eq!(places(&systems.bravo.entities), of_partner(2), "{fault:?}");
    assert_eq!((systems.alpha.permit_count().await, systems.bravo.binding_count().await), (2, 2));

    systems.alpha.revoke(of_request(&request_id)).await;
    until_settled(&mut systems, &request_id, State::Revoked, fault).await;
    assert!(places(&systems.alpha.entities).is_empty(), "{fault:?}");
    assert!(places(&systems.bravo.entities).is_empty(), "{fault:?}");
    assert_eq!((systems.alpha.permit_count().await, systems.bravo.binding_count().await), (0, 0));
    (systems.alpha.entities.calls(), systems.bravo.entities.calls())
}

/// Waits until both systems have settled; kills the one whose call hangs, and starts it again.
async fn until_settled(
    systems: &mut Systems,
    request_id: &str,
    state: State,
    fault: Option<(Side, usize, Fault)>,
) {
    let Some((side, ..)) = fault else {
        return systems.wait(request_id, state, state).await;
    };
    let entities = match side {
        Side::Alpha => systems.alpha.entities.clone(),
        Side::Bravo => systems.bravo.entities.clone(),
    };
    tokio::select! {
        () = systems.wait(request_id, state, state) => return,
        () = entities.hanging() => {}
    }
    let system = match side {
        Side::Alpha => &mut systems.alpha,
        Side::Bravo => &mut systems.bravo,
    };
    system.kill().await;
    entities.heal();
    system.start().await;
    systems.wait(request_id, state, state).await;
}

/// Every call of the undisturbed life gets the fault, each in a life of its own.
async fn each_call(engine: Engine, fault: Fault) {
    let (alpha, bravo) = life(engine, None).await;
    assert!(alpha >= 8 && bravo >= 8, "{alpha} and {bravo} calls");
    // The first call of alpha is within the request itself, which is refused where it fails.
    let of_alpha = (1..alpha).map(|call| (Side::Alpha, call, fault));
    let of_bravo = (0..bravo).map(|call| (Side::Bravo, call, fault));
    let lives = of_alpha.chain(of_bravo).map(|fault| life(engine, Some(fault)));
    // Collected, since they borrow nothing; a few at a time, since each has two systems.
    let lives: Vec<_> = lives.collect();
    stream::iter(lives).buffer_unordered(LIVES_AT_ONCE).collect::<Vec<_>>().await;
}

mod sqlite {
    use super::{Engine, Fault, each_call};

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn call_that_fails_once_is_repeated_wherever_it_is() {
        each_call(Engine::Sqlite, Fault::Fails).await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn process_that_dies_before_any_call_goes_on_where_it_was() {
        each_call(Engine::Sqlite, Fault::HangsBefore).await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn process_that_dies_after_any_call_goes_on_where_it_was() {
        each_call(Engine::Sqlite, Fault::HangsAfter).await;
    }
}

mod postgres {
    use super::{Engine, Fault, each_call};

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn process_that_dies_after_any_call_goes_on_where_it_was() {
        each_call(Engine::Postgres, Fault::HangsAfter).await;
    }
}
