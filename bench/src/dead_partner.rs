//! A partner that takes connections and never says a word, and what its visitors cost those of another partner.

use std::net::Ipv4Addr;

use anyhow::{Result, ensure};
use futures::stream;
use mcx_proto::migration::v1 as migration;
use mcx_proto::types::v1::SipIdentities;
use mcx_testkit::TrustDomain;
use tokio::net::TcpListener;

use crate::load::{open_loop, overload};
use crate::report::Report;
use crate::signalling::{Extent, OPEN_LOOP_RATE, some_user};
use crate::subject::{self, Subject};

/// The p99 of lookups at the living partner without and with lookups at the dead one.
pub(crate) const WITHOUT: &str = "federated lookup, 500/s, no other partner asked, p99";
pub(crate) const WITH: &str = "federated lookup, 500/s, beside 50/s at a dead partner, p99";

const NAME: &str = "dead.example";

/// How many lookups of its visitors there are per second.
const RATE: u32 = 50;

/// How many visitors it has.
const VISITORS: u64 = 100;

/// A run of the usual length has too few calls for a p99.
const RUNS: u32 = 2;

/// The partner, which is as dead as it can be while its port is open.
pub(crate) struct DeadPartner {
    _socket: TcpListener,
}

impl DeadPartner {
    /// Has the operator of the partner make an agreement with it, and bindings of its visitors.
    pub(crate) async fn agree_with(subject: &Subject) -> Result<Self> {
        // The system accepts connections for it; nobody takes them from there.
        let socket = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let operator = &subject.federation.partner.operator;
        let agreement = migration::Agreement {
            partner_mc_system_id: NAME.to_owned(),
            peer_endpoints: vec![socket.local_addr()?.to_string()],
            trust_bundle_pem: TrustDomain::new(NAME).bundle_pem().to_owned(),
            state: migration::AgreementState::Active.into(),
            partner_may_ask: vec![migration::PartnerCapability::SipAuthenticationInformation.into()],
            ..Default::default()
        };
        let request = migration::CreateAgreementRequest { agreement: Some(agreement), ..Default::default() };
        operator.agreements.clone().create_agreement(request).await?;
        let bindings: Vec<_> = (0..VISITORS)
            .map(|user| migration::ImportBindingsRequest {
                binding: Some(migration::Binding {
                    partner_identities: Some(visitor(user)),
                    primary_identities: Some(identities(&format!("user{user:06}@{NAME}"))),
                    primary_mc_system_id: NAME.to_owned(),
                    ..Default::default()
                }),
            })
            .collect();
        let outcome = operator.bindings.clone().import_bindings(stream::iter(bindings)).await?.into_inner();
        ensure!(outcome.created_count == VISITORS, "bindings were refused: {:?}", outcome.refusals);
        Ok(Self { _socket: socket })
    }

    /// Measures lookups at the living partner, without and with lookups at this one beside them.
    pub(crate) async fn measure(
        &self,
        report: &mut Report,
        subject: &Subject,
        extent: &Extent,
    ) -> Result<()> {
        let (client, users) = (subject.federated_client()?, subject.users);
        let of_the_dead = {
            let client = client.clone();
            move |number| subject::look_up(client.clone(), visitor(number % VISITORS))
        };
        let call = move |number| subject::look_up_federated(client.clone(), some_user(number, users));
        let run = extent.run * RUNS;
        let alone = open_loop(OPEN_LOOP_RATE, run, call.clone()).await?;
        report.add(WITHOUT, "ms", alone.latency_ms(0.99));
        let beside = open_loop(OPEN_LOOP_RATE, run, call);
        let (beside, dead) = tokio::join!(beside, overload(RATE, run, of_the_dead));
        report.add(WITH, "ms", beside?.latency_ms(0.99));
        ensure!(dead?.0.count() == 0, "a dead partner answered");
        Ok(())
    }
}

fn visitor(user: u64) -> SipIdentities {
    identities(&format!("user{user:06}.dead@visitors.{}", crossband::dev::PARTNER))
}

fn identities(name: &str) -> SipIdentities {
    SipIdentities { impus: vec![format!("sip:{name}")], impi: name.to_owned() }
}
