//! The typed client of the migration management of another MC system: asks it for vectors of its users, and tells it of user migrations.

use std::time::Duration;

use mcx_proto::migration::v1 as proto;
use mcx_proto::migration::v1::federation_service_client::FederationServiceClient;
use mcx_runtime::client::Outgoing;
use mcx_types::wire::{AuthenticationInformation, scheme_to_wire};
use mcx_types::{Impi, Violations};
use tonic::transport::Channel;
use tonic::{Request, Status};

use crate::app::release::Asked;
use crate::domain::admission::{AnswerFacts, Mismatch, OutstandingRequest};

/// What a primary answered, split into what is checked and what is secret.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) facts: AnswerFacts,
    pub(crate) authentication_information: AuthenticationInformation,
}

/// The client of a primary's federation service, on the channel to that partner.
pub(crate) struct FederationClient {
    inner: FederationServiceClient<Outgoing<Channel>>,
    timeout: Duration,
}

impl FederationClient {
    pub(crate) fn new(channel: Channel, timeout: Duration) -> Self {
        Self { inner: FederationServiceClient::new(Outgoing::new(channel)), timeout }
    }

    /// TS 23.280 10.1.6.2 steps 4 and 7. The outer error is the call's, the inner one an answer that cannot be understood.
    pub(crate) async fn ask(
        mut self,
        outstanding: &OutstandingRequest,
        partner_impi: &Impi,
        asked: Asked,
    ) -> Result<Result<Answer, Mismatch>, Status> {
        let transaction_id = outstanding.transaction_id.to_string();
        let primary_identities = Some(outstanding.primary_identities.clone().into());
        let partner_impi = partner_impi.to_string();
        Ok(match asked {
            Asked::Vector(scheme) => {
                let mut request =
                    Request::new(proto::FederationServiceGetSipAuthenticationInformationRequest {
                        transaction_id,
                        primary_identities,
                        partner_impi,
                        scheme: scheme_to_wire(scheme).into(),
                        vector_count: 1,
                    });
                request.set_timeout(self.timeout);
                let answer = self.inner.get_sip_authentication_information(request).await?.into_inner();
                understand(
                    answer.transaction_id,
                    answer.primary_identities,
                    answer.authentication_information,
                )
            }
            Asked::Resynchronisation(failure) => {
                let mut request = Request::new(proto::FederationServiceResynchroniseRequest {
                    transaction_id,
                    primary_identities,
                    partner_impi,
                    synchronisation_failure: Some(failure.into()),
                });
                request.set_timeout(self.timeout);
                let answer = self.inner.resynchronise(request).await?.into_inner();
                understand(
                    answer.transaction_id,
                    answer.primary_identities,
                    answer.authentication_information,
                )
            }
        })
    }

    /// TS 23.280 10.17.5 step 2: asks a partner to let users in.
    pub(crate) async fn offer_user_migrations(
        mut self,
        offers: Vec<proto::UserMigrationOffer>,
    ) -> Result<Vec<proto::UserMigrationReportResult>, Status> {
        let mut request = Request::new(proto::OfferUserMigrationsRequest { offers });
        request.set_timeout(self.timeout);
        Ok(self.inner.offer_user_migrations(request).await?.into_inner().results)
    }

    /// TS 23.280 10.17.5 step 4: tells the other MC system what became of users.
    pub(crate) async fn report_user_migrations(
        mut self,
        reports: proto::ReportUserMigrationsRequest,
    ) -> Result<Vec<proto::UserMigrationReportResult>, Status> {
        let mut request = Request::new(reports);
        request.set_timeout(self.timeout);
        Ok(self.inner.report_user_migrations(request).await?.into_inner().results)
    }
}

fn understand(
    transaction_id: String,
    identities: Option<mcx_proto::types::v1::SipIdentities>,
    information: Option<mcx_proto::types::v1::AuthenticationInformation>,
) -> Result<Answer, Mismatch> {
    let mut violations = Violations::new();
    let information = violations.authentication_information("authentication_information", information);
    let authentication_information = violations.finish(information).map_err(|violations| {
        tracing::warn!(fields = ?violations, "the answer of the primary is malformed");
        Mismatch::Malformed
    })?;
    let facts = AnswerFacts {
        transaction_id,
        primary_impi: identities.and_then(|identities| identities.impi.parse().ok()),
        vector_count: authentication_information.vectors.len(),
        scheme: authentication_information.scheme,
    };
    Ok(Answer { facts, authentication_information })
}
