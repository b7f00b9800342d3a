//! Tells other MC systems what they have to know, however often it takes: an end must arrive though they are away now.

use std::time::Duration;

use mcx_federation::PeerCallError;
use mcx_proto::mcservice::v1 as proto;
use mcx_runtime::error::decode_status;
use prost::Message;

use super::App;
use super::partners::{hop, is_away};
use crate::error::Error;
use crate::store::notices::{self, Notice, NoticeKind};

/// How many notices are told at once.
const BATCH: u32 = 32;

/// What came of telling a notice.
#[derive(Debug, PartialEq, Eq)]
enum Told {
    /// It has arrived.
    Arrived,
    /// It has to be tried again.
    Away(String),
    /// The other MC system does not understand it, and will not.
    Refused(String),
}

impl App {
    /// Tells every notice that is due; those that do not arrive are due again later.
    pub(crate) async fn tell_notices(&self) -> Result<(), Error> {
        loop {
            let now = self.clock.now();
            // Longer than a call may take, so that no other replica tells it meanwhile.
            let hold = self.config.partner_timeout * 2 + self.config.notice_backoff;
            let due = notices::claim(&self.database, now, hold, BATCH).await?;
            let is_last = due.len() < BATCH as usize;
            futures::future::try_join_all(due.iter().map(|notice| self.tell_notice(notice))).await?;
            if is_last {
                return Ok(());
            }
        }
    }

    async fn tell_notice(&self, notice: &Notice) -> Result<(), Error> {
        let told = self.deliver(notice).await;
        let (kind, to, attempts) = (notice.kind.as_str(), &notice.to, notice.attempts);
        let outcome = match told {
            Told::Arrived => {
                tracing::info!(kind, %to, attempts, "notice has arrived");
                notices::remove(&self.database, notice.id).await?;
                "arrived"
            }
            Told::Refused(error) => {
                tracing::error!(kind, %to, attempts, error, "notice is refused and given up");
                notices::remove(&self.database, notice.id).await?;
                "refused"
            }
            Told::Away(error) => self.postpone(notice, &error).await?,
        };
        metrics::counter!("mcx_mc_service_notices_total", "kind" => kind, "outcome" => outcome).increment(1);
        Ok(())
    }

    async fn postpone(&self, notice: &Notice, error: &str) -> Result<&'static str, Error> {
        let now = self.clock.now();
        let (kind, to, attempts) = (notice.kind.as_str(), &notice.to, notice.attempts);
        if now.saturating_since(notice.created_at) >= self.config.notice_lifetime {
            tracing::error!(kind, %to, attempts, error, "notice is given up: its lease has ended long ago");
            notices::remove(&self.database, notice.id).await?;
            return Ok("given_up");
        }
        let pause = self.pause_after(notice.attempts);
        tracing::warn!(kind, %to, attempts, error, ?pause, "notice has not arrived");
        notices::postpone(&self.database, notice.id, now.saturating_add(pause)).await?;
        Ok("away")
    }

    fn pause_after(&self, attempts: i64) -> Duration {
        let doublings = u32::try_from(attempts.clamp(1, 20) - 1).unwrap_or_default();
        let pause = self.config.notice_backoff.saturating_mul(1 << doublings);
        pause.min(self.config.notice_backoff_limit)
    }

    async fn deliver(&self, notice: &Notice) -> Told {
        let channel = match self.partner_channel(&notice.to) {
            Ok(channel) => channel,
            // An agreement that was suspended or has ended may come back.
            Err(error) => return Told::Away(error.to_string()),
        };
        let content = notice.content.as_slice();
        let outcome = match notice.kind {
            NoticeKind::Deauthorize => {
                let Ok(request) = proto::FederationServiceDeauthorizeMigrationServiceRequest::decode(content)
                else {
                    return Told::Refused("the stored notice cannot be decoded".to_owned());
                };
                let call = self.call_partner(&channel, request, |mut client, request| async move {
                    client.deauthorize_migration_service(request).await
                });
                call.await.map(drop)
            }
            NoticeKind::End => {
                let Ok(request) = proto::EndMigrationServiceRequest::decode(content) else {
                    return Told::Refused("the stored notice cannot be decoded".to_owned());
                };
                let call = self.call_partner(&channel, request, |mut client, request| async move {
                    client.end_migration_service(request).await
                });
                call.await.map(drop)
            }
            NoticeKind::Deaffiliate => {
                let Ok(request) = proto::FederationServiceDeaffiliateRequest::decode(content) else {
                    return Told::Refused("the stored notice cannot be decoded".to_owned());
                };
                let call = self.call_partner(&channel, request, |mut client, request| async move {
                    client.deaffiliate(request).await
                });
                call.await.map(drop)
            }
        };
        match outcome {
            Ok(()) => Told::Arrived,
            Err(PeerCallError::Status(status)) => {
                let remote = decode_status(&status);
                let error = format!("{}: {remote}", hop(&notice.to));
                if remote.reason == "INVALID_REQUEST" && !is_away(remote.code) {
                    Told::Refused(error)
                } else {
                    Told::Away(error)
                }
            }
            Err(error) => Told::Away(error.to_string()),
        }
    }
}
