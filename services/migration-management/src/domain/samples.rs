//! One visitor, as the tests know her: alice of alpha.example, who migrates to bravo.example.

use mcx_types::{McService, SipIdentities, Timestamp, Validity};
use uuid::Uuid;

use super::agreement::{Agreement, AgreementLimits, AgreementState, PartnerCapability};
use super::binding::{Binding, BindingTerms, SignallingAccess, UseState};
use super::permit::{Permit, PermitTerms};
use super::release::ReleaseRequest;
use super::user_migration::{Grant, MigrationRole, Progress, UserMigration, UserMigrationState};

pub(crate) fn primary_identities() -> SipIdentities {
    SipIdentities {
        impi: "alice@alpha.example".parse().unwrap(),
        impus: vec!["sip:alice@alpha.example".parse().unwrap()],
    }
}

pub(crate) fn partner_identities() -> SipIdentities {
    SipIdentities {
        impi: "alice.alpha@visitors.bravo.example".parse().unwrap(),
        impus: vec!["sip:alice.alpha@visitors.bravo.example".parse().unwrap()],
    }
}

pub(crate) fn agreement(partner: &str) -> Agreement {
    Agreement {
        partner: partner.parse().unwrap(),
        peer_endpoints: vec!["127.0.0.1:7443".parse().unwrap()],
        trust_bundle_pem: String::new(),
        state: AgreementState::Active,
        validity: Validity::default(),
        partner_may_ask: vec![PartnerCapability::SipAuthenticationInformation],
        limits: AgreementLimits::default(),
        peer_services: Vec::new(),
    }
}

pub(crate) fn binding() -> Binding {
    Binding {
        id: Uuid::from_u128(7),
        kept_by: None,
        terms: BindingTerms {
            partner_identities: partner_identities(),
            primary_identities: primary_identities(),
            primary_mc_system_id: "alpha.example".parse().unwrap(),
            signalling_access: SignallingAccess::FederatedAuth,
            state: UseState::Enabled,
            validity: Validity::default(),
        },
    }
}

pub(crate) fn permit() -> Permit {
    Permit {
        id: Uuid::from_u128(8),
        kept_by: None,
        terms: PermitTerms {
            primary_impi: primary_identities().impi,
            partner: "bravo.example".parse().unwrap(),
            partner_identities: partner_identities(),
            state: UseState::Enabled,
            validity: Validity::default(),
        },
    }
}

pub(crate) fn release_request() -> ReleaseRequest {
    ReleaseRequest {
        partner: "bravo.example".parse().unwrap(),
        primary_identities: primary_identities(),
        partner_impi: partner_identities().impi,
        vector_count: 1,
    }
}

pub(crate) fn user_migration(role: MigrationRole, state: UserMigrationState) -> UserMigration {
    let then = Timestamp::from_micros(50);
    UserMigration {
        id: Uuid::from_u128(9),
        request_id: Uuid::from_u128(10),
        role,
        peer: "bravo.example".parse().unwrap(),
        mc_id: None,
        primary_issuer: None,
        primary_subject: "5f2c".parse().unwrap(),
        primary_identities: primary_identities(),
        primary_mc_service_ids: [(McService::Ptt, "sip:alice@alpha.example".parse().unwrap())].into(),
        grant: None,
        valid_until: None,
        progress: Progress::beginning(state, None, then),
        created_at: then,
        updated_at: then,
    }
}

pub(crate) fn grant() -> Grant {
    Grant {
        visitor_identities: partner_identities(),
        mc_service_ids: [(McService::Ptt, "sip:alice.alpha@visitors.bravo.example".parse().unwrap())].into(),
        scopes: vec!["3gpp:mc:ptt_service".to_owned()],
        granted_group_ids: Vec::new(),
        ue_configuration: None,
    }
}
