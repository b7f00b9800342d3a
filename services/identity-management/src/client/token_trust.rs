//! Keeps what a process believes about access tokens in step with identity management.

use std::time::Duration;

use mcx_federation::access_token::{AccessTokenVerifier, RevokedTokens, TokenKey, TokenTrust};
use mcx_proto::identity::v1 as proto;
use mcx_proto::identity::v1::token_trust_service_client::TokenTrustServiceClient;
use mcx_runtime::client::Outgoing;
use mcx_types::{Subject, Timestamp};
use tokio::time::{sleep, timeout};
use tonic::Status;
use tonic::transport::Channel;

/// The longest silence of a stream that lives.
const SILENCE_LIMIT: Duration = Duration::from_secs(60);

/// How long is waited before the first new try, and at most.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Why what was told cannot be believed; the last trust stays.
#[derive(Debug, thiserror::Error)]
enum Unusable {
    #[error("key {kid} {error}")]
    Key { kid: String, error: mcx_federation::access_token::TokenKeyError },
    #[error("a revoked subject is none")]
    Subject,
    #[error("a revocation has no time")]
    Time,
}

/// Keeps `verifier` current for ever: spawn it, and drop it at the end. While identity management is away the verifier goes on with what it
/// knew last, and the tries go on, ever more seldom.
pub async fn follow_token_trust(channel: Channel, verifier: AccessTokenVerifier) {
    let mut pause = FIRST_PAUSE;
    loop {
        match follow(&channel, &verifier, &mut pause).await {
            Ok(()) => tracing::debug!("identity management ended the stream of token trust"),
            Err(status) => {
                tracing::warn!(code = ?status.code(), "token trust is not followed, the last known one stays in use");
            }
        }
        sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

async fn follow(
    channel: &Channel,
    verifier: &AccessTokenVerifier,
    pause: &mut Duration,
) -> Result<(), Status> {
    let mut client = TokenTrustServiceClient::new(Outgoing::new(channel.clone()));
    let mut news = client.watch_token_trust(proto::WatchTokenTrustRequest {}).await?.into_inner();
    loop {
        let Ok(told) = timeout(SILENCE_LIMIT, news.message()).await else {
            tracing::warn!("the stream of token trust is silent");
            return Ok(());
        };
        let Some(told) = told? else { return Ok(()) };
        let taken = if told.is_addition {
            revoked(told).map(|more| verifier.revoke(more))
        } else {
            token_trust(told).map(|trust| verifier.replace_trust(trust))
        };
        match taken {
            Ok(()) => *pause = FIRST_PAUSE,
            Err(error) => {
                tracing::error!(%error, "token trust is not understood, the last known one stays in use")
            }
        }
    }
}

fn token_trust(mut snapshot: proto::WatchTokenTrustResponse) -> Result<TokenTrust, Unusable> {
    let keys = std::mem::take(&mut snapshot.keys).into_iter().map(|key| {
        TokenKey::from_jwk(key.kid.as_str(), &key.x, &key.y)
            .map_err(|error| Unusable::Key { kid: key.kid, error })
    });
    Ok(TokenTrust {
        issuer: std::mem::take(&mut snapshot.issuer),
        keys: keys.collect::<Result<_, _>>()?,
        revoked: revoked(snapshot)?,
    })
}

fn revoked(told: proto::WatchTokenTrustResponse) -> Result<RevokedTokens, Unusable> {
    let subjects = told.revoked_subjects.into_iter().map(|revoked| {
        let subject: Subject = revoked.subject.parse().map_err(|_| Unusable::Subject)?;
        let at = revoked.revoke_time.and_then(|at| Timestamp::try_from(at).ok()).ok_or(Unusable::Time)?;
        Ok((subject, at))
    });
    Ok(RevokedTokens {
        token_ids: told.revoked_tokens.into_iter().map(|revoked| revoked.token_id).collect(),
        subjects: subjects.collect::<Result<_, Unusable>>()?,
    })
}
