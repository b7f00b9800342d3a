//! The bootstrap procedure of TS 23.280 10.1.1.1: UEs fetch the initial UE configuration with one-time codes.

use mcx_proto::types::v1::InitialUeConfiguration;
use mcx_types::{SourceNetwork, Timestamp, Violations};
use rand::Rng;
use uuid::Uuid;
use zeroize::Zeroizing;

use super::App;
use crate::domain::enrolment::{CODE_LENGTH, Enrolment, EnrolmentCode, EnrolmentState};
use crate::error::Error;
use crate::store::{Page, enrolments};

/// For how long a code can be used at most.
const LONGEST: std::time::Duration = std::time::Duration::from_secs(90 * 24 * 3_600);

impl App {
    /// Issues a code for a UE, in the place of the one that it had.
    pub(crate) async fn create_enrolment(
        &self,
        ue_id: String,
        expires_at: Option<Timestamp>,
    ) -> Result<(Enrolment, EnrolmentCode), Error> {
        let now = self.clock.now();
        let expires_at = expires_at.unwrap_or_else(|| now.saturating_add(self.config.enrolment_validity));
        if expires_at <= now || expires_at > now.saturating_add(LONGEST) {
            let mut violations = Violations::new();
            violations.add("expire_time", "must be in the future, at most 90 days from now");
            return Err(violations.into());
        }
        let mut octets = Zeroizing::new([0; CODE_LENGTH]);
        rand::rng().fill_bytes(&mut *octets);
        let code = EnrolmentCode::from_random(&octets);
        let enrolment = Enrolment {
            ue_id,
            code: code.hash(),
            created_at: now,
            expires_at,
            used_at: None,
            used_by: None,
            failures: 0,
        };
        enrolments::put(&self.database, &enrolment).await?;
        Ok((enrolment, code))
    }

    pub(crate) async fn list_enrolments(&self, after: &str, limit: u32) -> Result<Page<Enrolment>, Error> {
        Ok(enrolments::list(&self.database, after, limit).await?)
    }

    pub(crate) async fn delete_enrolment(&self, ue_id: String) -> Result<(), Error> {
        let is_removed = enrolments::delete(&self.database, &ue_id).await?;
        if is_removed { Ok(()) } else { Err(Error::UeEnrolmentUnknown(ue_id)) }
    }

    /// What a UE gets for its code, once, and again only for the request that used it. Whoever has no good code is told the same, whatever
    /// is wrong with it.
    pub(crate) async fn bootstrap(
        &self,
        source: SourceNetwork,
        ue_id: &str,
        code: &EnrolmentCode,
        request_id: Option<Uuid>,
    ) -> Result<InitialUeConfiguration, Error> {
        self.limiter.count_bootstrap(source, ue_id).await?;
        let outcome = self.redeem(ue_id, code, request_id).await;
        let result = if outcome.is_ok() { "ok" } else { "refused" };
        metrics::counter!("mcx_configuration_management_bootstraps_total", "result" => result).increment(1);
        outcome
    }

    async fn redeem(
        &self,
        ue_id: &str,
        code: &EnrolmentCode,
        request_id: Option<Uuid>,
    ) -> Result<InitialUeConfiguration, Error> {
        let now = self.clock.now();
        let sent = code.hash();
        let enrolment = enrolments::find(&self.database, ue_id).await?;
        // A UE that is not enrolled costs a comparison too.
        let is_right = enrolment.as_ref().map_or(&sent, |enrolment| &enrolment.code).is_same(&sent);
        let Some(enrolment) = enrolment else { return Err(Error::UeEnrolmentRefused) };
        if !is_right {
            enrolments::count_failure(&self.database, ue_id).await?;
            return Err(Error::UeEnrolmentRefused);
        }
        let is_repeated = request_id.is_some_and(|request_id| enrolment.was_used_by(request_id, now));
        if !is_repeated && enrolment.state(now) != EnrolmentState::Issued {
            return Err(Error::UeEnrolmentRefused);
        }
        let document = self.initial_ue_configuration().await?;
        if !is_repeated && !enrolments::use_up(&self.database, &enrolment, request_id, now).await? {
            return Err(Error::UeEnrolmentRefused);
        }
        document.initial_ue_configuration.ok_or(Error::InitialUeConfigurationUnknown)
    }
}
