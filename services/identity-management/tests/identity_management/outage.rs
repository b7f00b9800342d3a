//! What is answered while the database is away, and that it is over when it returns.

use mcx_proto::identity::v1 as proto;
use mcx_testkit::{PostgresOptions, PostgresServer};
use reqwest::StatusCode;
use tonic::Code;

use crate::fixture::{Ground, PASSWORD, System, refusal};
use crate::user_agent::UserAgent;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn database_that_goes_away_is_waited_for() {
    let server = PostgresServer::private(PostgresOptions::default());
    let ground = Ground::at("alpha.example", tempfile::tempdir().unwrap(), server.create_database());
    let system = System::on(ground).await;
    let alice = system.user("alice").await;
    let agent = system.user_agent();
    let tokens = agent.log_in(&alice.mc_id).await;
    let page = agent.open(&UserAgent::request(&[])).await;

    server.stop_immediate();
    let away = refusal(system.accounts().list_accounts(proto::ListAccountsRequest::default()).await);
    assert_eq!((away.code, away.reason.as_str()), (Code::Unavailable, "STORE_UNAVAILABLE"));
    assert!(away.retry_after.is_some());
    let refused = agent.refresh(tokens.refresh_token()).await;
    assert_eq!((refused.refusal().0, refused.refusal().1), (503, "temporarily_unavailable"));
    assert!(refused.headers.contains_key("retry-after"));
    let shown = agent.submit(&page, &alice.mc_id, PASSWORD).await;
    assert_eq!(shown.status, StatusCode::SERVICE_UNAVAILABLE);
    // Access tokens are verified all the same, and clients find their way.
    assert!(system.replica.verifier.verify(tokens.access_token()).is_ok());
    assert_eq!(agent.user_info(tokens.access_token()).await.status, StatusCode::OK);
    assert_eq!(agent.document("/jwks").await.status, StatusCode::OK);

    system.replica.readiness.wait_until_not_serving().await;
    server.start();
    system.replica.readiness.wait_until_serving().await;
    let refreshed = agent.refresh(tokens.refresh_token()).await;
    assert!(system.introspect(refreshed.access_token()).await.active);
}
