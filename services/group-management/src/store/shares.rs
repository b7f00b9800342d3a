//! Which groups which partners are told of, in the database.

use mcx_store::{Database, StoreError, Transaction};
use mcx_types::{McServiceGroupId, McServiceId, McSystemId, Timestamp};

use super::columns::parse;
use super::members::{MemberRow, Membership, read};
use super::{Page, sql};

/// A group that a partner is told of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Share {
    pub(crate) group: McServiceGroupId,
    /// As of when the partner is to know the group; grows with every change.
    pub(crate) wanted: i64,
    /// As of when it does.
    pub(crate) pushed: i64,
    /// When it was last told.
    pub(crate) told_at: Option<Timestamp>,
}

#[derive(sqlx::FromRow)]
struct Row {
    group_id: String,
    wanted: i64,
    pushed: i64,
    told_at: Option<i64>,
}

impl TryFrom<Row> for Share {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Self, Self::Error> {
        Ok(Self {
            group: parse("group_id", &row.group_id)?,
            wanted: row.wanted,
            pushed: row.pushed,
            told_at: row.told_at.map(Timestamp::from_micros),
        })
    }
}

fn shares(rows: Vec<Row>) -> Result<Vec<Share>, StoreError> {
    rows.into_iter().map(TryInto::try_into).collect()
}

/// Lets the partners know that a group has changed.
pub(crate) async fn touch_group(
    transaction: &mut Transaction,
    group: &McServiceGroupId,
    now: Timestamp,
) -> Result<u64, StoreError> {
    transaction
        .statement(
            "UPDATE share SET wanted = CASE WHEN wanted < $2 THEN $2 ELSE wanted + 1 END WHERE group_id = $1",
        )
        .bind(group.as_str())
        .bind(now.as_micros())
        .execute()
        .await
}

/// Lets the partners to which these users migrate know that their membership in the group has changed.
pub(crate) async fn touch_members(
    transaction: &mut Transaction,
    group: &McServiceGroupId,
    ids: impl IntoIterator<Item = &McServiceId>,
    now: Timestamp,
) -> Result<u64, StoreError> {
    let touch = sql!(
        transaction.engine(),
        "INSERT INTO share (partner_mc_system_id, group_id, wanted, pushed, claimed_until) \
         SELECT DISTINCT partner_mc_system_id, $1, $3, 0, 0 FROM shared_user_identity WHERE mc_service_id IN " [2]
        " ON CONFLICT (partner_mc_system_id, group_id) DO UPDATE SET \
         wanted = CASE WHEN share.wanted < excluded.wanted THEN excluded.wanted ELSE share.wanted + 1 END"
    );
    transaction
        .statement(touch)
        .bind(group.as_str())
        .bind_text_array(ids.into_iter().map(ToString::to_string))
        .bind(now.as_micros())
        .execute()
        .await
}

/// Lets the partners know that who migrates to them has changed, in every group that these users are members of.
pub(crate) async fn touch_users(
    transaction: &mut Transaction,
    migration_ids: &[String],
    now: Timestamp,
) -> Result<u64, StoreError> {
    let touch = sql!(
        transaction.engine(),
        "INSERT INTO share (partner_mc_system_id, group_id, wanted, pushed, claimed_until) \
         SELECT DISTINCT identity.partner_mc_system_id, member.group_id, $2, 0, 0 FROM shared_user_identity AS identity \
         JOIN member ON member.mc_service_id = identity.mc_service_id \
         JOIN mc_group ON mc_group.group_id = member.group_id AND mc_group.is_own WHERE identity.migration_id IN " [1]
        " ON CONFLICT (partner_mc_system_id, group_id) DO UPDATE SET \
         wanted = CASE WHEN share.wanted < excluded.wanted THEN excluded.wanted ELSE share.wanted + 1 END"
    );
    transaction
        .statement(touch)
        .bind_text_array(migration_ids.iter().cloned())
        .bind(now.as_micros())
        .execute()
        .await
}

/// The partners that do not know the latest.
pub(crate) async fn partners_to_tell(database: &Database) -> Result<Vec<McSystemId>, StoreError> {
    let rows: Vec<(String,)> = database
        .statement("SELECT DISTINCT partner_mc_system_id FROM share WHERE pushed < wanted")
        .fetch_all()
        .await?;
    rows.iter().map(|(id,)| parse("partner_mc_system_id", id)).collect()
}

/// Takes some groups of which the partner does not know the latest; until `until` nobody else does.
pub(crate) async fn claim(
    database: &Database,
    partner: &McSystemId,
    now: Timestamp,
    until: Timestamp,
    limit: u32,
) -> Result<Vec<Share>, StoreError> {
    let rows = database
        .statement(
            "UPDATE share SET claimed_until = $3 WHERE partner_mc_system_id = $1 AND pushed < wanted AND claimed_until <= $2 \
             AND group_id IN (SELECT group_id FROM share WHERE partner_mc_system_id = $1 AND pushed < wanted AND claimed_until <= $2 \
             ORDER BY group_id LIMIT $4) RETURNING group_id, wanted, pushed, told_at",
        )
        .bind(partner.as_str())
        .bind(now.as_micros())
        .bind(until.as_micros())
        .bind(i64::from(limit))
        .fetch_all()
        .await?;
    shares(rows)
}

/// Gives back what was claimed and could not be told.
pub(crate) async fn release(
    database: &Database,
    partner: &McSystemId,
    groups: &[McServiceGroupId],
) -> Result<(), StoreError> {
    let release = sql!(
        database.engine(),
        "UPDATE share SET claimed_until = 0 WHERE partner_mc_system_id = $1 AND group_id IN "[2]
    );
    database
        .statement(release)
        .bind(partner.as_str())
        .bind_text_array(groups.iter().map(ToString::to_string))
        .execute()
        .await
        .map(drop)
}

/// The partner has been told of the group as of `wanted`.
pub(crate) async fn told(
    transaction: &mut Transaction,
    partner: &McSystemId,
    share: &Share,
    now: Timestamp,
) -> Result<(), StoreError> {
    transaction
        .statement(
            "UPDATE share SET pushed = $3, told_at = $4, claimed_until = 0 WHERE partner_mc_system_id = $1 AND group_id = $2",
        )
        .bind(partner.as_str())
        .bind(share.group.as_str())
        .bind(share.wanted)
        .bind(now.as_micros())
        .execute()
        .await
        .map(drop)
}

/// The partner has been told that the group is not shared as of `wanted`; says whether nothing is left to be told of it.
pub(crate) async fn delete_told(
    transaction: &mut Transaction,
    partner: &McSystemId,
    share: &Share,
) -> Result<bool, StoreError> {
    let deleted = transaction
        .statement("DELETE FROM share WHERE partner_mc_system_id = $1 AND group_id = $2 AND wanted = $3")
        .bind(partner.as_str())
        .bind(share.group.as_str())
        .bind(share.wanted)
        .execute()
        .await?;
    Ok(deleted > 0)
}

/// The members of a group who migrate to the partner.
pub(crate) async fn members_for(
    database: &Database,
    partner: &McSystemId,
    group: &McServiceGroupId,
) -> Result<Vec<Membership>, StoreError> {
    let rows: Vec<MemberRow> = database
        .statement(
            "SELECT * FROM member WHERE group_id = $2 AND EXISTS (SELECT 1 FROM shared_user_identity AS identity \
             WHERE identity.mc_service_id = member.mc_service_id AND identity.partner_mc_system_id = $1) ORDER BY mc_service_id",
        )
        .bind(partner.as_str())
        .bind(group.as_str())
        .fetch_all()
        .await?;
    read(rows)
}

/// A page of the groups shared with the partner, in which one of these users is a member and migrates to it.
pub(crate) async fn of_users(
    database: &Database,
    partner: &McSystemId,
    ids: &[McServiceId],
    after: &str,
    limit: u32,
) -> Result<Page<Share>, StoreError> {
    let list = sql!(
        database.engine(),
        "SELECT group_id, wanted, pushed, told_at FROM share WHERE partner_mc_system_id = $1 AND group_id > $3 AND group_id IN \
         (SELECT member.group_id FROM member JOIN shared_user_identity AS identity \
         ON identity.mc_service_id = member.mc_service_id AND identity.partner_mc_system_id = $1 \
         WHERE member.mc_service_id IN " [2] ") ORDER BY group_id LIMIT $4"
    );
    let rows = database
        .statement(list)
        .bind(partner.as_str())
        .bind_text_array(ids.iter().map(ToString::to_string))
        .bind(after)
        .bind(i64::from(limit) + 1)
        .fetch_all()
        .await?;
    Ok(Page::cut(shares(rows)?, limit, |share| share.group.to_string()))
}

/// Up to `limit` shares with the partner behind `after`, in the order of the groups' identifiers.
pub(crate) async fn list(
    database: &Database,
    partner: &McSystemId,
    only_pending: bool,
    after: &str,
    limit: u32,
) -> Result<Page<Share>, StoreError> {
    let rows = database
        .statement(
            "SELECT group_id, wanted, pushed, told_at FROM share WHERE partner_mc_system_id = $1 AND group_id > $2 \
             AND (pushed < wanted OR NOT $3) ORDER BY group_id LIMIT $4",
        )
        .bind(partner.as_str())
        .bind(after)
        .bind(only_pending)
        .bind(i64::from(limit) + 1)
        .fetch_all()
        .await?;
    Ok(Page::cut(shares(rows)?, limit, |share| share.group.to_string()))
}
