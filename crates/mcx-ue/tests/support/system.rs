//! Two MC systems and a UE between them.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use mcx_proto::configuration::v1::{MigrationSelection, MigrationTarget, ProfileGroup, UserProfile};
use mcx_proto::group::v1::{Group, GroupMember, MemberGroup};
use mcx_proto::types::v1 as types;
use mcx_testkit::TrustDomain;
use mcx_ue::servers::Patience;
use mcx_ue::ue::{IsimCard, McServiceUe, StepOutcome, UeSettings};

use super::identity_server::{CLIENT_ID, IdentityServer};
use super::servers::Servers;
use super::sip_core::{SipCore, keys};

pub const UE_ID: &str = "urn:uuid:6e2b9a54-0000-4000-8000-000000000001";

/// An MC system.
pub struct System {
    pub domain: TrustDomain,
    pub identity: IdentityServer,
    pub servers: Servers,
    pub sip: SipCore,
}

impl System {
    pub async fn start(name: &str, index: u8, primary: Option<&System>) -> Self {
        let domain = TrustDomain::new(name);
        let identity = IdentityServer::start(&domain, primary.map(|primary| &primary.identity)).await;
        let servers = Servers::start(&domain, &identity).await;
        Self { sip: SipCore::start(index).await, domain, identity, servers }
    }

    pub fn configuration(&self) -> types::InitialUeConfiguration {
        let issuer = self.identity.state().issuer.clone();
        let address = self.servers.address.to_string();
        types::InitialUeConfiguration {
            mc_system_id: self.domain.mc_system_id().to_string(),
            servers: Some(types::ServerAddresses {
                sip_core: vec![types::SipCoreAddress {
                    transport: types::SipTransport::Udp.into(),
                    address: self.sip.address.to_string(),
                }],
                sip_realm: "unused.example".to_owned(),
                identity_management_token_endpoint: format!("{issuer}/token"),
                identity_management_issuer: issuer,
                oauth_client_id: CLIENT_ID.to_owned(),
                configuration_management: address.clone(),
                group_management: address.clone(),
                functional_alias_management: address.clone(),
                mc_service: address,
                kms_uri: String::new(),
            }),
            trust_bundle_pem: self.domain.bundle_pem().to_owned(),
            ..types::InitialUeConfiguration::default()
        }
    }
}

pub fn service(name: types::McService, id: &str) -> types::McServiceIdentity {
    types::McServiceIdentity { mc_service: name.into(), mc_service_id: id.to_owned() }
}

pub fn group(name: &str, version: i64) -> MemberGroup {
    let group = Group { group_id: format!("sip:{name}@bravo.example"), version, ..Group::default() };
    MemberGroup { group: Some(group), members: vec![GroupMember::default()] }
}

fn profile(identity: types::McServiceIdentity, groups: &[(&str, bool)]) -> UserProfile {
    let groups = groups.iter().map(|(name, implicit_affiliation)| ProfileGroup {
        mc_service_group_id: format!("sip:{name}@bravo.example"),
        mc_system_id: String::new(),
        implicit_affiliation: *implicit_affiliation,
    });
    UserProfile { identity: Some(identity), version: 1, groups: groups.collect(), ..UserProfile::default() }
}

/// alpha, the primary, and bravo, which has accepted alice for MCPTT and MCData; she has MCVideo at home only.
pub struct Stage {
    pub alpha: System,
    pub bravo: System,
    pub told: Arc<Mutex<Vec<String>>>,
}

impl Stage {
    pub async fn new() -> Self {
        use types::McService::{Data, Ptt, Video};
        let alpha = System::start("alpha.example", 0, None).await;
        let bravo = System::start("bravo.example", 1, Some(&alpha)).await;
        let access_information = types::AccessInformation {
            initial_ue_configuration: Some(bravo.configuration()),
            visitor_identities: Some(types::SipIdentities {
                impi: "v1@visitors.bravo.example".to_owned(),
                impus: vec!["sip:v1@visitors.bravo.example".to_owned()],
            }),
            mc_service_identities: vec![
                service(Ptt, "sip:v1@bravo.example"),
                service(Data, "sip:v1@bravo.example"),
            ],
            scopes: vec!["openid".to_owned(), "3gpp:mc:ptt_service".to_owned()],
        };
        let target = |selection| MigrationTarget {
            mc_system_id: "bravo.example".to_owned(),
            access_information: Some(access_information.clone()),
            selection,
        };
        {
            let mut world = alpha.servers.world();
            let selection = MigrationSelection { serving_plmns: vec!["20404".to_owned()], areas: Vec::new() };
            let mut ptt = profile(service(Ptt, "sip:alice@ptt.alpha.example"), &[("home", true)]);
            ptt.migration_targets = vec![
                target(Some(selection)),
                MigrationTarget { mc_system_id: "charlie.example".to_owned(), ..MigrationTarget::default() },
            ];
            let mut data = profile(service(Data, "sip:alice@data.alpha.example"), &[]);
            data.migration_targets = vec![target(None)];
            let video = profile(service(Video, "sip:alice@video.alpha.example"), &[]);
            world.profiles = vec![ptt, video, data];
        }
        alpha.servers.world().configuration = Some(alpha.configuration());
        alpha.servers.world().enrolment_code = "secret-enrolment".to_owned();
        alpha.identity.state().targets.insert(bravo.identity.token_endpoint());
        {
            let mut world = bravo.servers.world();
            world.identities = [(Ptt.into(), "sip:v1@bravo.example"), (Data.into(), "sip:v1@bravo.example")]
                .map(|(service, id): (i32, &str)| (service, id.to_owned()))
                .into();
            let groups = [("rescue", true), ("fire", false)];
            world.profiles = vec![
                profile(service(Ptt, "sip:v1@bravo.example"), &groups),
                profile(service(Data, "sip:v1@bravo.example"), &[]),
            ];
            world.groups = vec![group("rescue", 1), group("fire", 1)];
        }
        Self { alpha, bravo, told: Arc::default() }
    }

    pub fn settings(&self, folder: Option<&Path>) -> UeSettings {
        let (key, opc) = keys();
        let identities = mcx_types::SipIdentities {
            impi: "alice@ims.alpha.example".parse().unwrap(),
            impus: vec!["sip:alice@ims.alpha.example".parse().unwrap()],
        };
        let state_file = folder.map(|folder| folder.join("isim.json"));
        let isim = IsimCard { key, opc, identities, state_file };
        let mut settings = UeSettings::new(UE_ID, isim, Arc::new(|| uuid::Uuid::new_v4().as_u128()));
        settings.state_file = folder.map(|folder| folder.join("ue.json"));
        settings.deadline = Duration::from_secs(20);
        settings.patience =
            Patience { shortest: Duration::from_millis(1), longest: Duration::from_millis(10) };
        settings
    }

    /// A UE that tells its steps to `told`: `step system state`.
    pub fn ue(&self, settings: UeSettings) -> McServiceUe {
        let mut ue = McServiceUe::switch_on(settings).unwrap();
        let told = Arc::clone(&self.told);
        ue.observe(Arc::new(move |event| {
            let outcome = match event.outcome {
                StepOutcome::Started => return,
                StepOutcome::Done => "done".to_owned(),
                StepOutcome::Failed(error) => format!("failed: {error}"),
                StepOutcome::GivenUp(_) => "given up".to_owned(),
            };
            let system = event.mc_system_id.map(ToString::to_string).unwrap_or_default();
            told.lock().unwrap().push(format!("{} {system} {} {outcome}", event.step, event.state));
        }));
        ue
    }

    pub fn take_told(&self) -> Vec<String> {
        std::mem::take(&mut *self.told.lock().unwrap())
    }
}
