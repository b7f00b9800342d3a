//! Two replicas of the partner's identity management server, with and without the Redis that they share.

use std::time::Duration;

use mcx_store::{CacheConfig, SharedCache};
use mcx_testkit::RedisServer;
use reqwest::StatusCode;

use crate::fixture::{Engine, Ground, Replica, System};
use crate::user_agent::UserAgent;
use crate::visit::{ASSERTION_REFUSED, Visit};

/// Bravo on two replicas; the first one is that of the visit.
struct Replicas {
    redis: RedisServer,
    visit: Visit,
    second: Replica,
}

impl Replicas {
    async fn new(engine: Engine) -> Self {
        let redis = RedisServer::private();
        let cache = || SharedCache::open(&CacheConfig::from_url(redis.url()), "bravo.example").unwrap();
        let bravo = System::with_cache(Ground::new("bravo.example", engine), cache()).await;
        let visit = Visit::to(bravo, engine).await;
        let ground = &visit.bravo.ground;
        let mut config = ground.config();
        // UEs and partners know the replicas as one.
        config.issuer = Some(visit.bravo.replica.issuer.clone());
        config.trust_refresh_interval = Duration::from_millis(100);
        let second = ground.replica(config, cache()).await;
        Self { redis, visit, second }
    }

    /// User agents at the first and at the second replica.
    fn agents(&self) -> [UserAgent; 2] {
        let second = format!("https://{}", self.second.https);
        [self.visit.bravo.user_agent(), UserAgent::new(&self.visit.bravo.ground.domain, &second)]
    }
}

mcx_testkit::on_every_database!(
    crate::replicas::Replicas::new;
    security_token_taken_at_one_replica_is_refused_at_the_other_whether_redis_is_there_or_not,
    replicas_that_are_asked_at_once_take_a_security_token_once,
    revocation_while_redis_is_away_reaches_the_other_replica_at_its_next_interval,
);

async fn security_token_taken_at_one_replica_is_refused_at_the_other_whether_redis_is_there_or_not(
    replicas: Replicas,
) {
    let [first, second] = replicas.agents();
    let token = replicas.visit.security_token().await;
    let let_in = first.bring(&token).await;
    assert_eq!(let_in.status, StatusCode::OK, "{}", let_in.body);
    assert_eq!(second.bring(&token).await.refusal(), ASSERTION_REFUSED);

    // Without Redis visitors come in all the same, each token once: what was taken is in the database.
    replicas.redis.stop();
    assert_eq!(second.bring(&token).await.refusal(), ASSERTION_REFUSED);
    let while_away = replicas.visit.security_token().await;
    assert_eq!(second.bring(&while_away).await.status, StatusCode::OK);
    assert_eq!(first.bring(&while_away).await.refusal(), ASSERTION_REFUSED);
    assert!(replicas.second.verifier.verify(let_in.access_token()).is_ok());

    // Redis comes back empty, and knows nothing of either.
    replicas.redis.start();
    for token in [&token, &while_away] {
        for agent in [&first, &second] {
            assert_eq!(agent.bring(token).await.refusal(), ASSERTION_REFUSED);
        }
    }
}

async fn replicas_that_are_asked_at_once_take_a_security_token_once(replicas: Replicas) {
    let token = replicas.visit.security_token().await;
    let agents = replicas.agents();
    for is_redis_there in [true, false] {
        let token = if is_redis_there { token.clone() } else { replicas.visit.security_token().await };
        let asked = agents.iter().cycle().take(8).map(|agent| agent.bring(&token));
        let answers = futures::future::join_all(asked).await;
        let let_in = answers.iter().filter(|answer| answer.status == StatusCode::OK).count();
        assert_eq!(let_in, 1, "{answers:?}");
        replicas.redis.stop();
    }
}

async fn revocation_while_redis_is_away_reaches_the_other_replica_at_its_next_interval(replicas: Replicas) {
    let visit = &replicas.visit;
    let arrived = visit.arrive().await;
    assert!(replicas.second.verifier.verify(arrived.access_token()).is_ok());
    replicas.redis.stop();
    assert_eq!(visit.at_bravo().revoke_subjects([], [visit.migration_id]).await, Ok(1));
    assert!(
        visit.bravo.replica.verifier.verify(arrived.access_token()).is_err(),
        "at once where it was said"
    );
    let is_told = async {
        while replicas.second.verifier.verify(arrived.access_token()).is_ok() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), is_told).await.unwrap();
    // A refresh token of hers is worth nothing at either.
    for agent in replicas.agents() {
        assert_eq!(agent.refresh(arrived.refresh_token()).await.refusal().1, "invalid_grant");
    }
}
