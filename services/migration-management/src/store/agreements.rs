//! Agreements in the database.

use mcx_federation::PeerService;
use mcx_store::{Database, StoreError, Transaction};
use mcx_types::{Entity, McSystemId, Timestamp};

use super::columns::{corrupt, list_json, micros, parse, parse_list, validity};
use super::{Page, Stored};
use crate::domain::agreement::{Agreement, AgreementLimits, AgreementState, PartnerCapability};

#[derive(sqlx::FromRow)]
struct Row {
    partner_mc_system_id: String,
    peer_endpoints: String,
    trust_bundle_pem: String,
    state: String,
    valid_from: Option<i64>,
    valid_until: Option<i64>,
    partner_may_ask: String,
    requests_per_minute: Option<i64>,
    requests_per_user_per_minute: Option<i64>,
    resynchronisations_per_user_per_hour: Option<i64>,
    pending_offers: Option<i64>,
    peer_services: String,
    version: i64,
    created_at: i64,
    updated_at: i64,
}

impl TryFrom<Row> for Stored<Agreement> {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Self, Self::Error> {
        let limit = |number: Option<i64>| {
            number.map(|number| u32::try_from(number).map_err(|_| corrupt("limits"))).transpose()
        };
        let capabilities: Vec<String> = parse_list("partner_may_ask", &row.partner_may_ask)?;
        Ok(Self {
            value: Agreement {
                partner: parse("partner_mc_system_id", &row.partner_mc_system_id)?,
                peer_endpoints: parse_list("peer_endpoints", &row.peer_endpoints)?,
                trust_bundle_pem: row.trust_bundle_pem,
                state: match row.state.as_str() {
                    "ACTIVE" => AgreementState::Active,
                    "SUSPENDED" => AgreementState::Suspended,
                    _ => return Err(corrupt("state")),
                },
                validity: validity(row.valid_from, row.valid_until),
                partner_may_ask: capabilities
                    .iter()
                    .map(|name| capability(name))
                    .collect::<Result<_, _>>()?,
                limits: AgreementLimits {
                    requests_per_minute: limit(row.requests_per_minute)?,
                    requests_per_user_per_minute: limit(row.requests_per_user_per_minute)?,
                    resynchronisations_per_user_per_hour: limit(row.resynchronisations_per_user_per_hour)?,
                    pending_offers: limit(row.pending_offers)?,
                },
                peer_services: peer_services(&row.peer_services)?,
            },
            version: row.version,
            created_at: Timestamp::from_micros(row.created_at),
            updated_at: Timestamp::from_micros(row.updated_at),
        })
    }
}

fn capability(name: &str) -> Result<PartnerCapability, StoreError> {
    let known = PartnerCapability::SipAuthenticationInformation;
    if name == known.as_str() { Ok(known) } else { Err(corrupt("partner_may_ask")) }
}

fn state_name(state: AgreementState) -> &'static str {
    match state {
        AgreementState::Active => "ACTIVE",
        AgreementState::Suspended => "SUSPENDED",
    }
}

fn capabilities_json(capabilities: &[PartnerCapability]) -> String {
    list_json(&capabilities.iter().map(|capability| capability.as_str()).collect::<Vec<_>>())
}

/// An element of the column `peer_services`.
#[derive(serde::Serialize, serde::Deserialize)]
struct StoredPeerService {
    entity: String,
    endpoints: Vec<String>,
    presents: String,
}

fn peer_services(json: &str) -> Result<Vec<(Entity, PeerService)>, StoreError> {
    const COLUMN: &str = "peer_services";
    let services: Vec<StoredPeerService> = serde_json::from_str(json).map_err(|_| corrupt(COLUMN))?;
    let read = |service: &StoredPeerService| {
        let endpoints = service.endpoints.iter().map(|text| parse(COLUMN, text)).collect::<Result<_, _>>()?;
        let presents = parse(COLUMN, &service.presents)?;
        Ok((parse(COLUMN, &service.entity)?, PeerService { endpoints, presents }))
    };
    services.iter().map(read).collect()
}

fn peer_services_json(services: &[(Entity, PeerService)]) -> String {
    let stored = services.iter().map(|(entity, service)| StoredPeerService {
        entity: entity.to_string(),
        endpoints: service.endpoints.iter().map(ToString::to_string).collect(),
        presents: service.presents.to_string(),
    });
    serde_json::to_string(&stored.collect::<Vec<_>>()).unwrap_or_default()
}

pub(crate) async fn find(
    database: &Database,
    partner: &McSystemId,
) -> Result<Option<Stored<Agreement>>, StoreError> {
    let row: Option<Row> = database
        .statement("SELECT * FROM agreement WHERE partner_mc_system_id = $1")
        .bind(partner.as_str())
        .fetch_optional()
        .await?;
    row.map(TryInto::try_into).transpose()
}

/// Up to `limit` agreements behind `after`, in the order of the partners' identifiers.
pub(crate) async fn list(
    database: &Database,
    after: &str,
    limit: u32,
) -> Result<Page<Stored<Agreement>>, StoreError> {
    let rows: Vec<Row> = database
        .statement(
            "SELECT * FROM agreement WHERE partner_mc_system_id > $1 ORDER BY partner_mc_system_id LIMIT $2",
        )
        .bind(after)
        .bind(i64::from(limit) + 1)
        .fetch_all()
        .await?;
    let items = rows.into_iter().map(TryInto::try_into).collect::<Result<Vec<Stored<Agreement>>, _>>()?;
    Ok(Page::cut(items, limit, |agreement| agreement.value.partner.to_string()))
}

/// Every agreement; there are as many as partners, which is few.
pub(crate) async fn all(database: &Database) -> Result<Vec<Stored<Agreement>>, StoreError> {
    let rows: Vec<Row> =
        database.statement("SELECT * FROM agreement ORDER BY partner_mc_system_id").fetch_all().await?;
    rows.into_iter().map(TryInto::try_into).collect()
}

pub(crate) async fn insert(
    transaction: &mut Transaction,
    agreement: &Agreement,
    now: Timestamp,
) -> Result<Stored<Agreement>, StoreError> {
    let limits = agreement.limits;
    let row: Row = transaction
        .statement(
            "INSERT INTO agreement (partner_mc_system_id, peer_endpoints, trust_bundle_pem, state, valid_from, valid_until, \
             partner_may_ask, requests_per_minute, requests_per_user_per_minute, resynchronisations_per_user_per_hour, \
             pending_offers, peer_services, version, created_at, updated_at) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, 1, $13, $13) RETURNING *",
        )
        .bind(agreement.partner.as_str())
        .bind(list_json(&agreement.peer_endpoints))
        .bind(agreement.trust_bundle_pem.as_str())
        .bind(state_name(agreement.state))
        .bind(micros(agreement.validity.from))
        .bind(micros(agreement.validity.until))
        .bind(capabilities_json(&agreement.partner_may_ask))
        .bind(limits.requests_per_minute.map(i64::from))
        .bind(limits.requests_per_user_per_minute.map(i64::from))
        .bind(limits.resynchronisations_per_user_per_hour.map(i64::from))
        .bind(limits.pending_offers.map(i64::from))
        .bind(peer_services_json(&agreement.peer_services))
        .bind(now.as_micros())
        .fetch_one()
        .await?;
    row.try_into()
}

/// Replaces the agreement if it still has `version`; `None` where it has not, or is gone.
pub(crate) async fn update(
    transaction: &mut Transaction,
    agreement: &Agreement,
    version: i64,
    now: Timestamp,
) -> Result<Option<Stored<Agreement>>, StoreError> {
    let limits = agreement.limits;
    let row: Option<Row> = transaction
        .statement(
            "UPDATE agreement SET peer_endpoints = $3, trust_bundle_pem = $4, state = $5, valid_from = $6, valid_until = $7, \
             partner_may_ask = $8, requests_per_minute = $9, requests_per_user_per_minute = $10, \
             resynchronisations_per_user_per_hour = $11, pending_offers = $12, peer_services = $13, version = version + 1, \
             updated_at = $14 \
             WHERE partner_mc_system_id = $1 AND version = $2 RETURNING *",
        )
        .bind(agreement.partner.as_str())
        .bind(version)
        .bind(list_json(&agreement.peer_endpoints))
        .bind(agreement.trust_bundle_pem.as_str())
        .bind(state_name(agreement.state))
        .bind(micros(agreement.validity.from))
        .bind(micros(agreement.validity.until))
        .bind(capabilities_json(&agreement.partner_may_ask))
        .bind(limits.requests_per_minute.map(i64::from))
        .bind(limits.requests_per_user_per_minute.map(i64::from))
        .bind(limits.resynchronisations_per_user_per_hour.map(i64::from))
        .bind(limits.pending_offers.map(i64::from))
        .bind(peer_services_json(&agreement.peer_services))
        .bind(now.as_micros())
        .fetch_optional()
        .await?;
    row.map(TryInto::try_into).transpose()
}

/// Removes the agreement if it has `version` (`None`: whichever); says whether it did.
pub(crate) async fn delete(
    transaction: &mut Transaction,
    partner: &McSystemId,
    version: Option<i64>,
) -> Result<bool, StoreError> {
    let removed = transaction
        .statement(
            "DELETE FROM agreement WHERE partner_mc_system_id = $1 AND version = COALESCE($2, version)",
        )
        .bind(partner.as_str())
        .bind(version)
        .execute()
        .await?;
    Ok(removed == 1)
}

/// The agreement, which nobody else locks until the transaction ends: what one MC system asks and what is decided on it is done one after
/// the other, in every replica.
pub(crate) async fn lock(
    transaction: &mut Transaction,
    partner: &McSystemId,
) -> Result<Option<Agreement>, StoreError> {
    let sql = transaction.engine().dialect(
        "SELECT * FROM agreement WHERE partner_mc_system_id = $1 FOR NO KEY UPDATE",
        "SELECT * FROM agreement WHERE partner_mc_system_id = $1",
    );
    let row: Option<Row> = transaction.statement(sql).bind(partner.as_str()).fetch_optional().await?;
    row.map(|row| Stored::try_from(row).map(|stored| stored.value)).transpose()
}

/// Whether the agreement is there, whatever its version.
pub(crate) async fn exists(transaction: &mut Transaction, partner: &McSystemId) -> Result<bool, StoreError> {
    let row: Option<(i64,)> = transaction
        .statement("SELECT version FROM agreement WHERE partner_mc_system_id = $1")
        .bind(partner.as_str())
        .fetch_optional()
        .await?;
    Ok(row.is_some())
}
