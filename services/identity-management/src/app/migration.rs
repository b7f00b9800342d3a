//! What migration management says of users who migrate. Every call is done in whole or not at all.

use mcx_types::Subject;
use uuid::Uuid;

use super::App;
use super::randomness::uuid;
use crate::domain::account::{ExchangeTarget, Visitor, VisitorTerms};
use crate::error::Error;
use crate::store::revocations::Revocations;
use crate::store::{accounts, migrations, partner_trusts};

impl App {
    /// Maps visitors; who they are here, in the order given.
    pub(crate) async fn put_visitors(
        &self,
        visitors: Vec<VisitorTerms>,
    ) -> Result<Vec<(Uuid, Subject)>, Error> {
        let mut transaction = self.database.begin().await?;
        let mut mapped = Vec::with_capacity(visitors.len());
        let mut revoked = Revocations::default();
        for terms in visitors {
            let trust = partner_trusts::find_in(&mut transaction, &terms.primary).await?;
            let trust = trust.ok_or_else(|| Error::VisitorOfUntrusted(terms.primary.clone()))?.value;
            let mismatch = if trust.issuer != terms.primary_issuer {
                Some("issuer")
            } else if terms.scopes.granted_out_of(&trust.allowed_scopes) != terms.scopes {
                Some("scopes")
            } else {
                None
            };
            if let Some(mismatch) = mismatch {
                return Err(Error::PartnerTrustMismatch { mc_system_id: terms.primary, mismatch });
            }
            let id = terms.migration_id;
            let before = migrations::hold_visitor(&mut transaction, id).await?;
            if let Some(before) = &before
                && before.terms == terms
            {
                mapped.push((id, before.subject.clone()));
                continue;
            }
            let fresh = uuid(&self.randomness);
            let issuer = terms.primary_issuer.as_str();
            let subject =
                migrations::visitor_subject(&mut transaction, issuer, &terms.primary_subject, fresh).await?;
            if let Some(before) = before {
                migrations::delete_visitor(&mut transaction, id).await?;
                if before.subject != subject || before.terms.tokens_are_void_under(&terms) {
                    self.revoke_subject_in(&mut transaction, &before.subject, &mut revoked).await?;
                }
            }
            let visitor = Visitor { subject, terms };
            if let Err(error) = migrations::insert_visitor(&mut transaction, &visitor).await {
                transaction.rollback().await?;
                let identities = &visitor.terms.service_identities;
                return Err(self.of_identities(error.into(), Some(&visitor.subject), identities).await);
            }
            mapped.push((id, visitor.subject));
        }
        transaction.commit().await?;
        self.tokens_revoked(revoked).await;
        Ok(mapped)
    }

    /// Removes visitors and revokes their tokens; how many there were.
    pub(crate) async fn delete_visitors(&self, migration_ids: &[Uuid]) -> Result<u64, Error> {
        let mut transaction = self.database.begin().await?;
        let mut revoked = Revocations::default();
        let mut count = 0;
        // In one order, whoever asks: else two that remove the same visitors could wait for each other.
        let mut migration_ids = migration_ids.to_vec();
        migration_ids.sort();
        for id in migration_ids {
            if let Some(subject) = migrations::delete_visitor(&mut transaction, id).await? {
                self.revoke_subject_in(&mut transaction, &subject, &mut revoked).await?;
                count += 1;
            }
        }
        transaction.commit().await?;
        self.tokens_revoked(revoked).await;
        Ok(count)
    }

    /// Lets users exchange their access tokens.
    pub(crate) async fn put_exchange_targets(&self, targets: Vec<ExchangeTarget>) -> Result<(), Error> {
        let mut transaction = self.database.begin().await?;
        for target in targets {
            if accounts::find_by_subject_in(&mut transaction, &target.subject).await?.is_none() {
                return Err(Error::TargetSubjectUnknown(target.subject));
            }
            migrations::put_target(&mut transaction, &target).await?;
        }
        Ok(transaction.commit().await?)
    }

    /// No longer lets users exchange their access tokens; how many could.
    pub(crate) async fn delete_exchange_targets(&self, migration_ids: &[Uuid]) -> Result<u64, Error> {
        let mut transaction = self.database.begin().await?;
        let mut count = 0;
        for id in migration_ids {
            count += u64::from(migrations::delete_target(&mut transaction, *id).await?);
        }
        transaction.commit().await?;
        Ok(count)
    }
}
