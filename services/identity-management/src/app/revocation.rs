//! Tokens that count no more.

use std::time::Duration;

use mcx_store::Transaction;
use mcx_types::{Subject, Timestamp};
use metrics::counter;
use uuid::Uuid;

use super::App;
use super::tokens::Authenticated;
use crate::domain::grant::fingerprint;
use crate::error::Error;
use crate::store::revocations::{self, Revocations};
use crate::store::{Hold, grants, migrations};

/// How far ahead of now tokens are void: one that is issued while the revocation is being written counts as issued before it.
const MARGIN: Duration = Duration::from_secs(2);

/// How long after their expiry tokens are remembered as void: verifiers allow for clocks that differ.
const CLOCK_SKEW: Duration = Duration::from_secs(60);

impl App {
    /// Revokes all tokens of these users and visitors. Up to when they are void, and how many of them were known.
    pub(crate) async fn revoke_subjects(
        &self,
        subjects: &[Subject],
        migrations: &[Uuid],
    ) -> Result<(Timestamp, u64), Error> {
        let mut transaction = self.database.begin().await?;
        let mut revoked = Revocations::default();
        let mut count = 0;
        // In one order, whoever asks: else two that revoke the same users could wait for each other.
        let (mut subjects, mut migrations) = (subjects.to_vec(), migrations.to_vec());
        subjects.sort();
        migrations.sort();
        for subject in &subjects {
            if self.held(&mut transaction, subject, Hold::ToRevoke).await?.is_some() {
                self.revoke_subject_in(&mut transaction, subject, &mut revoked).await?;
                count += 1;
            }
        }
        for migration in migrations {
            if let Some(visitor) = migrations::hold_visitor(&mut transaction, migration).await? {
                self.revoke_subject_in(&mut transaction, &visitor.subject, &mut revoked).await?;
                count += 1;
            }
        }
        transaction.commit().await?;
        let revoked_at = revoked.subjects.values().copied().fold(self.clock.now(), Timestamp::max);
        self.tokens_revoked(revoked).await;
        Ok((revoked_at, count))
    }

    /// Revokes all tokens of a user in a transaction of the caller, who hands what is added to `revoked` to [`App::tokens_revoked`]
    /// afterwards, and holds the user to revoke, or has changed or removed her.
    pub(crate) async fn revoke_subject_in(
        &self,
        transaction: &mut Transaction,
        subject: &Subject,
        revoked: &mut Revocations,
    ) -> Result<(), Error> {
        let before = revocations::subject_revoked_at(transaction, subject).await?;
        // A token that was issued right after an earlier revocation says the second that follows it: that one is void too.
        let follows = before.map(|before| before.saturating_add(Duration::from_secs(1)));
        let revoked_at =
            self.clock.now().saturating_add(MARGIN).max(follows.unwrap_or(Timestamp::from_micros(0)));
        let lifetime = self.config.longest_token_lifetime();
        let forget_at = revoked_at.saturating_add(lifetime).saturating_add(CLOCK_SKEW);
        grants::revoke_families_of(transaction, subject, self.clock.now()).await?;
        revocations::revoke_subject(transaction, subject, revoked_at, forget_at, self.clock.now()).await?;
        counter!("mcx_identity_management_subject_revocations_total").increment(1);
        revoked.subjects.insert(subject.clone(), revoked_at);
        Ok(())
    }

    /// RFC 7009: the client is done with a token. One that is not its own, or unknown, is passed over.
    pub(crate) async fn revoke_token(&self, client: &Authenticated, token: &str) -> Result<(), Error> {
        let mut transaction = self.database.begin().await?;
        let mut revoked = Revocations::default();
        let refresh = grants::find_refresh_token(&mut transaction, &fingerprint(token)).await?;
        if let Some(refresh) = refresh {
            if refresh.family.client_id != client.client_id {
                return Ok(());
            }
            revoked.tokens =
                grants::revoke_family(&mut transaction, refresh.family.id, self.clock.now()).await?;
        } else {
            match self.verifier.verify(token) {
                Ok(user) if user.client_id == client.client_id => {
                    let forget_at = user.expires_at.saturating_add(CLOCK_SKEW);
                    revocations::revoke_token(&mut transaction, &user.token_id, forget_at, self.clock.now())
                        .await?;
                    revoked.tokens.insert(user.token_id, forget_at);
                }
                Ok(_) | Err(_) => return Ok(()),
            }
        }
        transaction.commit().await?;
        counter!("mcx_identity_management_token_revocations_total").increment(1);
        self.tokens_revoked(revoked).await;
        Ok(())
    }
}
