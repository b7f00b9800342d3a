//! Users of the primary, made by its operator through the public rpcs: account, subscriber, group of their crew, user profiles for home and for
//! the partner in two MC services.

use std::ops::Range;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use crossband::dev::{HOME_PROFILE, INCIDENT_PLMN, MIGRATION_PROFILE, PARTNER, PASSWORD, PRIMARY};
use futures::{StreamExt, TryStreamExt, stream};
use mcx_aka::{Opc, SubscriberKey};
use mcx_federation::access_token::Scope;
use mcx_proto::configuration::v1 as configuration;
use mcx_proto::configuration::v1::user_profile_service_client::UserProfileServiceClient;
use mcx_proto::group::v1 as group;
use mcx_proto::group::v1::group_service_client::GroupServiceClient;
use mcx_proto::identity::v1 as identity;
use mcx_proto::identity::v1::account_service_client::AccountServiceClient;
use mcx_proto::migration::v1 as migration;
use mcx_proto::types::v1::{McService, McServiceIdentity};
use mcx_types::SipIdentities;
use mcx_ue::identity::Credentials;
use mcx_ue::ue::IsimCard;
use sip_database::client::{NewSubscriber, SubscriberClient};
use tonic::transport::Channel;

/// The MC services that the users have and migrate with.
pub(crate) const SERVICES: [McService; 2] = [McService::Ptt, McService::Data];

/// So many users are a crew, with a group of its own.
const CREW_SIZE: u64 = 10;

/// How many groups are made at once.
const GROUPS_AT_ONCE: usize = 16;

/// Whether the users can log in. To hash a password is dear by intention, so users who never log in have none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Passwords {
    Given,
    None,
}

/// How fast the public rpcs took the users, in users per second.
pub(crate) struct ImportRates {
    pub(crate) accounts: f64,
    pub(crate) subscribers: f64,
    pub(crate) crews: f64,
    pub(crate) profiles: f64,
}

/// Makes the users with these numbers, whole crews of them.
pub(crate) async fn import(
    operator: &Channel,
    users: Range<u64>,
    passwords: Passwords,
) -> Result<ImportRates> {
    let count = users.end - users.start;
    let rate = |begun: Instant| count as f64 / begun.elapsed().as_secs_f64();
    let begun = Instant::now();
    import_accounts(operator, users.clone(), passwords).await?;
    let accounts = rate(begun);

    let begun = Instant::now();
    let subscribers = users.clone().map(new_subscriber).collect::<Result<Vec<_>>>()?;
    let outcome = SubscriberClient::new(operator.clone()).import(subscribers).await?;
    ensure!(outcome.created_count == count, "subscribers were refused: {:?}", outcome.refusals);
    let subscribers = rate(begun);

    let begun = Instant::now();
    let first_members = users.clone().step_by(usize::try_from(CREW_SIZE)?);
    stream::iter(first_members)
        .map(|first| make_crew(operator, first..(first + CREW_SIZE).min(users.end)))
        .buffer_unordered(GROUPS_AT_ONCE)
        .try_collect::<Vec<()>>()
        .await?;
    let crews = rate(begun);

    let begun = Instant::now();
    import_profiles(operator, users).await?;
    Ok(ImportRates { accounts, subscribers, crews, profiles: rate(begun) })
}

/// Makes accounts alone.
pub(crate) async fn import_accounts(
    operator: &Channel,
    users: Range<u64>,
    passwords: Passwords,
) -> Result<()> {
    let count = users.end - users.start;
    let requests = users.map(move |user| identity::ImportAccountsRequest {
        account: Some(account(user)),
        password: (passwords == Passwords::Given).then(|| identity::Password { value: PASSWORD.to_owned() }),
    });
    let mut client = AccountServiceClient::new(operator.clone());
    let outcome = client.import_accounts(stream::iter(requests)).await?.into_inner();
    ensure!(outcome.created_count == count, "accounts were refused: {:?}", outcome.refusals);
    Ok(())
}

async fn import_profiles(operator: &Channel, users: Range<u64>) -> Result<()> {
    let profiles = users.flat_map(|user| {
        SERVICES
            .into_iter()
            .flat_map(move |service| [home_profile(user, service), migration_profile(user, service)])
    });
    let requests = profiles
        .map(|profile| configuration::ImportUserProfilesRequest { user_profile: Some(profile) })
        .collect::<Vec<_>>();
    let count = requests.len() as u64;
    let mut client = UserProfileServiceClient::new(operator.clone());
    let outcome = client.import_user_profiles(stream::iter(requests)).await?.into_inner();
    ensure!(outcome.created_count == count, "user profiles were refused: {:?}", outcome.refusals);
    Ok(())
}

async fn make_crew(operator: &Channel, users: Range<u64>) -> Result<()> {
    make_group(operator, &crew_of(users.start), users).await
}

/// Makes a group of the primary with these members.
pub(crate) async fn make_group(operator: &Channel, id: &str, members: Range<u64>) -> Result<()> {
    let mut client = GroupServiceClient::new(operator.clone());
    let made = group::Group {
        group_id: id.to_owned(),
        display_name: "A crew".to_owned(),
        mc_services: SERVICES.map(Into::into).to_vec(),
        priority: 5,
        ..Default::default()
    };
    client.create_group(group::CreateGroupRequest { group: Some(made), ..Default::default() }).await?;
    let members: Vec<group::GroupMember> = members
        .map(|user| group::GroupMember {
            mc_service_id: mc_service_id(user),
            priority: 5,
            may_speak: true,
            ..Default::default()
        })
        .collect();
    // So many may be named at once.
    for members in members.chunks(1_000) {
        let request = group::AddMembersRequest {
            group_id: id.to_owned(),
            members: members.to_vec(),
            ..Default::default()
        };
        client.add_members(request).await?;
    }
    Ok(())
}

fn name(user: u64) -> String {
    format!("ue{user:06}")
}

/// The MC ID of a user.
pub(crate) fn mc_id(user: u64) -> String {
    format!("{}@{PRIMARY}", name(user))
}

fn mc_service_id(user: u64) -> String {
    format!("sip:{}", mc_id(user))
}

fn crew_of(user: u64) -> String {
    format!("sip:crew-{:06}@{PRIMARY}", user / CREW_SIZE)
}

/// The instance identifier of a user's UE.
pub(crate) fn ue_id(user: u64) -> String {
    format!("urn:crossband:ue:{}", name(user))
}

/// What a user logs in with.
pub(crate) fn credentials(user: u64) -> Result<Credentials> {
    Ok(Credentials { mc_id: mc_id(user).parse()?, password: PASSWORD.to_owned().into() })
}

/// The request of an operator that these users may migrate to the partner.
pub(crate) fn migration_request(users: Range<u64>) -> migration::RequestUserMigrationRequest {
    let users = users.map(|user| migration::UserToMigrate {
        mc_id: mc_id(user),
        primary_identities: Some(mcx_proto::types::v1::SipIdentities {
            impi: mc_id(user),
            impus: vec![mc_service_id(user)],
        }),
        mc_services: SERVICES.map(Into::into).to_vec(),
        valid_until: None,
    });
    migration::RequestUserMigrationRequest {
        partner_mc_system_id: PARTNER.to_owned(),
        users: users.collect(),
        ..Default::default()
    }
}

fn service_identity(user: u64, service: McService) -> McServiceIdentity {
    McServiceIdentity { mc_service: service.into(), mc_service_id: mc_service_id(user) }
}

fn account(user: u64) -> identity::Account {
    identity::Account {
        mc_id: mc_id(user),
        mc_service_identities: SERVICES.map(|service| service_identity(user, service)).to_vec(),
        scopes: Scope::ALL.iter().map(|scope| scope.as_str().to_owned()).collect(),
        display_name: name(user),
        ..Default::default()
    }
}

fn keys(user: u64) -> Result<(SubscriberKey, Opc)> {
    let key = SubscriberKey::from_hex(&format!("{user:032x}"))?;
    let opc = Opc::from_hex(&format!("{:032x}", u128::from(user) << 64))?;
    Ok((key, opc))
}

fn identities(user: u64) -> Result<SipIdentities> {
    Ok(SipIdentities { impi: mc_id(user).parse()?, impus: vec![mc_service_id(user).parse()?] })
}

fn new_subscriber(user: u64) -> Result<NewSubscriber> {
    let (key, opc) = keys(user)?;
    Ok(NewSubscriber::new(identities(user)?, key, opc))
}

/// The ISIM of a user's UE.
pub(crate) fn isim(user: u64) -> Result<IsimCard> {
    let (key, opc) = keys(user).context("a number makes keys")?;
    Ok(IsimCard { key, opc, identities: identities(user)?, state_file: None })
}

/// As the demonstration's: at home the user may call anybody.
fn home_profile(user: u64, service: McService) -> configuration::UserProfile {
    configuration::UserProfile {
        profile_index: HOME_PROFILE,
        profile_name: "at home".to_owned(),
        pre_selected: true,
        migration_targets: vec![configuration::MigrationTarget {
            mc_system_id: PARTNER.to_owned(),
            selection: Some(configuration::MigrationSelection {
                serving_plmns: vec![INCIDENT_PLMN.to_owned()],
                areas: Vec::new(),
            }),
            access_information: None,
        }],
        ..profile(user, service)
    }
}

/// What she takes along.
fn migration_profile(user: u64, service: McService) -> configuration::UserProfile {
    configuration::UserProfile {
        profile_index: MIGRATION_PROFILE,
        profile_name: "at bravo".to_owned(),
        valid_in: vec![PARTNER.to_owned()],
        ..profile(user, service)
    }
}

fn profile(user: u64, service: McService) -> configuration::UserProfile {
    configuration::UserProfile {
        identity: Some(service_identity(user, service)),
        participant_type: "first responder".to_owned(),
        organisation: "alpha fire brigade".to_owned(),
        priority: 200,
        private_call: Some(configuration::PrivateCallRights {
            policy: configuration::PrivateCallPolicy::Any.into(),
            mc_service_ids: Vec::new(),
        }),
        groups: vec![configuration::ProfileGroup {
            mc_service_group_id: crew_of(user),
            implicit_affiliation: true,
            ..Default::default()
        }],
        max_affiliations: 10,
        emergency_call_allowed: true,
        ..Default::default()
    }
}
