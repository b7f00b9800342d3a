//! What the tests say to the systems, and what they read from the answers.

use mcx_proto::migration::v1 as proto;
use mcx_proto::migration::v1::UserMigrationState as State;
use mcx_proto::types::v1::SipIdentities;

pub(crate) fn count(progress: &proto::WatchUserMigrationRequestResponse, state: State) -> u32 {
    progress.counts.iter().find(|count| count.state() == state).map_or(0, |count| count.user_count)
}

pub(crate) fn of_request(request_id: &str) -> proto::UserMigrationSelection {
    proto::UserMigrationSelection { user_migration_request_id: request_id.to_owned(), ..Default::default() }
}

pub(crate) fn these(ids: &[&str]) -> proto::UserMigrationSelection {
    let migration_ids = ids.iter().map(|id| (*id).to_owned()).collect();
    proto::UserMigrationSelection { migration_ids, ..Default::default() }
}

pub(crate) fn user_to_migrate(user: &str) -> proto::UserToMigrate {
    proto::UserToMigrate {
        mc_id: format!("{user}@alpha.example"),
        primary_identities: Some(identities(user, "alpha.example")),
        ..Default::default()
    }
}

pub(crate) fn request(users: Vec<proto::UserToMigrate>) -> proto::RequestUserMigrationRequest {
    let partner_mc_system_id = "bravo.example".to_owned();
    proto::RequestUserMigrationRequest { partner_mc_system_id, users, ..Default::default() }
}

pub(crate) fn identities(user: &str, domain: &str) -> SipIdentities {
    SipIdentities { impi: format!("{user}@{domain}"), impus: vec![format!("sip:{user}@{domain}")] }
}
