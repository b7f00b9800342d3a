//! Members in the database, each by her MC service ID in this MC system.

use mcx_store::{Database, StoreError, Transaction};
use mcx_types::{McServiceGroupId, McServiceId, McSystemId};

use super::columns::{json, origin, origin_name, parse, parse_json};
use super::groups::StoredGroup;
use super::{Page, groups, sql};
use crate::domain::member::{Member, Origin};

/// A membership.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Membership {
    pub(crate) group: McServiceGroupId,
    pub(crate) member: Member,
    pub(crate) origin: Origin,
}

/// A row of `member`.
#[derive(sqlx::FromRow)]
pub(super) struct MemberRow {
    group_id: String,
    mc_service_id: String,
    origin: String,
    mc_system_id: String,
    terms: String,
}

impl TryFrom<MemberRow> for Membership {
    type Error = StoreError;

    fn try_from(row: MemberRow) -> Result<Self, Self::Error> {
        Ok(Self {
            group: parse("group_id", &row.group_id)?,
            member: Member {
                id: parse("mc_service_id", &row.mc_service_id)?,
                terms: parse_json("terms", &row.terms)?,
                system: parse("mc_system_id", &row.mc_system_id)?,
            },
            origin: origin(&row.origin)?,
        })
    }
}

pub(super) fn read(rows: Vec<MemberRow>) -> Result<Vec<Membership>, StoreError> {
    rows.into_iter().map(TryInto::try_into).collect()
}

fn texts<'a>(ids: impl IntoIterator<Item = &'a McServiceId>) -> Vec<String> {
    ids.into_iter().map(ToString::to_string).collect()
}

/// Up to `limit` members of a group behind `after`, in the order of their MC service IDs.
pub(crate) async fn list(
    database: &Database,
    group: &McServiceGroupId,
    after: &str,
    limit: u32,
) -> Result<Page<Membership>, StoreError> {
    let rows = database
        .statement(
            "SELECT * FROM member WHERE group_id = $1 AND mc_service_id > $2 ORDER BY mc_service_id LIMIT $3",
        )
        .bind(group.as_str())
        .bind(after)
        .bind(i64::from(limit) + 1)
        .fetch_all()
        .await?;
    Ok(Page::cut(read(rows)?, limit, |membership| membership.member.id.to_string()))
}

/// How many members a group has.
pub(crate) async fn count(database: &Database, group: &McServiceGroupId) -> Result<i64, StoreError> {
    let (count,) = database
        .statement("SELECT COUNT(*) FROM member WHERE group_id = $1")
        .bind(group.as_str())
        .fetch_one()
        .await?;
    Ok(count)
}

/// Those of these users who are members of the group.
pub(crate) async fn among(
    transaction: &mut Transaction,
    group: &McServiceGroupId,
    ids: impl IntoIterator<Item = &McServiceId>,
) -> Result<Vec<Membership>, StoreError> {
    let find =
        sql!(transaction.engine(), "SELECT * FROM member WHERE group_id = $1 AND mc_service_id IN "[2]);
    let rows =
        transaction.statement(find).bind(group.as_str()).bind_text_array(texts(ids)).fetch_all().await?;
    read(rows)
}

/// All members of a group.
pub(crate) async fn all(
    transaction: &mut Transaction,
    group: &McServiceGroupId,
) -> Result<Vec<Membership>, StoreError> {
    let rows = transaction
        .statement("SELECT * FROM member WHERE group_id = $1")
        .bind(group.as_str())
        .fetch_all()
        .await?;
    read(rows)
}

/// A page of the groups in which one of these users is a member, with those of them who are; only `among`, unless it is empty.
pub(crate) async fn groups_of(
    database: &Database,
    ids: &[McServiceId],
    among: &[McServiceGroupId],
    after: &str,
    limit: u32,
) -> Result<Page<(StoredGroup, Vec<Member>)>, StoreError> {
    // One transaction would not help: Postgres reads each statement as of its own moment anyway. A membership that ends between the two
    // statements leaves its group out.
    let list = sql!(
        database.engine(),
        "SELECT * FROM mc_group WHERE group_id > $2 AND ($3 OR group_id IN " [4] ") \
         AND group_id IN (SELECT group_id FROM member WHERE mc_service_id IN " [1] ") ORDER BY group_id LIMIT $5"
    );
    let rows: Vec<groups::Row> = database
        .statement(list)
        .bind_text_array(texts(ids))
        .bind(after)
        .bind(among.is_empty())
        .bind_text_array(among.iter().map(ToString::to_string))
        .bind(i64::from(limit) + 1)
        .fetch_all()
        .await?;
    let found = rows.into_iter().map(TryInto::try_into).collect::<Result<Vec<StoredGroup>, _>>()?;
    let page = Page::cut(found, limit, |group| group.group.id.to_string());
    let find = sql!(
        database.engine(),
        "SELECT * FROM member WHERE mc_service_id IN " [1] " AND group_id IN " [2] " ORDER BY mc_service_id"
    );
    let rows = database
        .statement(find)
        .bind_text_array(texts(ids))
        .bind_text_array(page.items.iter().map(|group| group.group.id.to_string()))
        .fetch_all()
        .await?;
    let memberships = read(rows)?;
    let items = page.items.into_iter().filter_map(|group| {
        let members: Vec<Member> = memberships
            .iter()
            .filter(|membership| membership.group == group.group.id)
            .map(|membership| membership.member.clone())
            .collect();
        (!members.is_empty()).then_some((group, members))
    });
    Ok(Page { items: items.collect(), next_after: page.next_after })
}

/// A group and the membership of one user in it.
pub(crate) async fn group_for(
    database: &Database,
    group: &McServiceGroupId,
    id: &McServiceId,
) -> Result<Option<(StoredGroup, Option<Member>)>, StoreError> {
    let find_member = database
        .statement("SELECT * FROM member WHERE group_id = $1 AND mc_service_id = $2")
        .bind(group.as_str())
        .bind(id.as_str())
        .fetch_optional();
    let (found, member) = tokio::try_join!(groups::find(database, group), find_member)?;
    let member = member.map(|row: MemberRow| Membership::try_from(row)).transpose()?;
    Ok(found.map(|found| (found, member.map(|membership| membership.member))))
}

/// Makes these members what is said of them.
pub(crate) async fn put(
    transaction: &mut Transaction,
    group: &McServiceGroupId,
    origin: Origin,
    members: &[&Member],
) -> Result<(), StoreError> {
    if members.is_empty() {
        return Ok(());
    }
    let put = transaction.engine().dialect(
        "INSERT INTO member (group_id, origin, mc_service_id, mc_system_id, terms) \
         SELECT $1, $2, row.* FROM unnest($3::text[], $4::text[], $5::text[]) AS row WHERE TRUE \
         ON CONFLICT (group_id, mc_service_id) DO UPDATE SET origin = excluded.origin, mc_system_id = excluded.mc_system_id, \
         terms = excluded.terms",
        "INSERT INTO member (group_id, origin, mc_service_id, mc_system_id, terms) \
         SELECT $1, $2, a.value, b.value, c.value \
         FROM json_each($3) AS a JOIN json_each($4) AS b USING (key) JOIN json_each($5) AS c USING (key) WHERE TRUE \
         ON CONFLICT (group_id, mc_service_id) DO UPDATE SET origin = excluded.origin, mc_system_id = excluded.mc_system_id, \
         terms = excluded.terms",
    );
    let terms = members.iter().map(|member| json(&member.terms)).collect::<Result<Vec<_>, _>>()?;
    transaction
        .statement(put)
        .bind(group.as_str())
        .bind(origin_name(origin))
        .bind_text_array(members.iter().map(|member| member.id.to_string()))
        .bind_text_array(members.iter().map(|member| member.system.to_string()))
        .bind_text_array(terms)
        .execute()
        .await
        .map(drop)
}

/// Ends memberships in one group; those that there were.
pub(crate) async fn remove(
    transaction: &mut Transaction,
    group: &McServiceGroupId,
    ids: impl IntoIterator<Item = &McServiceId>,
) -> Result<Vec<Membership>, StoreError> {
    let remove = sql!(
        transaction.engine(),
        "DELETE FROM member WHERE group_id = $1 AND mc_service_id IN " [2] " RETURNING *"
    );
    let rows =
        transaction.statement(remove).bind(group.as_str()).bind_text_array(texts(ids)).fetch_all().await?;
    read(rows)
}

/// Ends all memberships in one group; those that there were.
pub(crate) async fn remove_all(
    transaction: &mut Transaction,
    group: &McServiceGroupId,
) -> Result<Vec<Membership>, StoreError> {
    let rows = transaction
        .statement("DELETE FROM member WHERE group_id = $1 RETURNING *")
        .bind(group.as_str())
        .fetch_all()
        .await?;
    read(rows)
}

/// Ends all memberships of these users; those that there were.
pub(crate) async fn remove_users(
    transaction: &mut Transaction,
    ids: impl IntoIterator<Item = &McServiceId>,
) -> Result<Vec<Membership>, StoreError> {
    let remove = sql!(transaction.engine(), "DELETE FROM member WHERE mc_service_id IN " [1] " RETURNING *");
    read(transaction.statement(remove).bind_text_array(texts(ids)).fetch_all().await?)
}

/// The groups that `home` shares and these users are members of, with the revisions that are known of them.
pub(crate) async fn shared_groups_of(
    database: &Database,
    home: &McSystemId,
    ids: impl IntoIterator<Item = &McServiceId>,
) -> Result<Vec<(McServiceGroupId, i64)>, StoreError> {
    let find = sql!(
        database.engine(),
        "SELECT group_id, revision FROM mc_group WHERE home_mc_system_id = $1 AND group_id IN \
         (SELECT group_id FROM member WHERE mc_service_id IN " [2] ")"
    );
    let rows: Vec<(String, i64)> =
        database.statement(find).bind(home.as_str()).bind_text_array(texts(ids)).fetch_all().await?;
    rows.iter().map(|(id, revision)| Ok((parse("group_id", id)?, *revision))).collect()
}
