//! Statements, values, transactions and errors.

use mcx_store::{Database, StoreError};

use crate::fixture::{EmptyDatabase, ask, on_every_database};

on_every_database!(
    values_come_back_as_they_were_stored,
    nulls_come_back_as_none,
    same_statement_takes_small_and_large_integers,
    rows_are_read_by_column_name,
    upsert_returns_the_row,
    rows_affected_are_counted,
    missing_row_is_none_when_optional_and_an_error_when_required,
    many_rows_are_inserted_by_one_statement,
    arrays_of_bytes_and_nulls_are_bound,
    constraints_are_told_by_name,
    committed_transaction_is_seen_by_others,
    dropped_transaction_leaves_nothing,
    concurrent_increments_lose_none,
    statement_that_does_not_fit_the_schema_is_internal,
    value_of_another_type_is_internal,
    closed_database_is_unavailable,
    ping_answers,
);

const INSERT: &str = "INSERT INTO items (id, name, payload, ready) VALUES ($1, $2, $3, $4)";

async fn insert(database: &Database, id: i64, name: &str) -> Result<u64, StoreError> {
    database.statement(INSERT).bind(id).bind(name).bind(None::<&[u8]>).bind(None::<bool>).execute().await
}

async fn count(database: &Database) -> i64 {
    let (count,): (i64,) = database.statement("SELECT COUNT(*) FROM items").fetch_one().await.unwrap();
    count
}

async fn values_come_back_as_they_were_stored(empty: EmptyDatabase) {
    let database = empty.migrated().await;
    let name = "Zoë O'Brien; DROP TABLE items; -- \u{1F692}";
    let payload: Vec<u8> = (0..=255).collect();
    let statement = database.statement(INSERT).bind(i64::MIN).bind(name).bind(&payload[..]).bind(true);
    assert_eq!(statement.execute().await, Ok(1));
    type Row = (i64, String, Vec<u8>, bool);
    let rows: Vec<Row> =
        database.statement("SELECT id, name, payload, ready FROM items").fetch_all().await.unwrap();
    assert_eq!(rows, [(i64::MIN, name.to_owned(), payload, true)]);
}

async fn nulls_come_back_as_none(empty: EmptyDatabase) {
    let database = empty.migrated().await;
    insert(&database, 1, "empty").await.unwrap();
    type Row = (Option<Vec<u8>>, Option<bool>, Option<i64>);
    let row: Row = database.statement("SELECT payload, ready, parent FROM items").fetch_one().await.unwrap();
    assert_eq!(row, (None, None, None));
}

async fn same_statement_takes_small_and_large_integers(empty: EmptyDatabase) {
    let database = empty.migrated().await;
    for id in [1, i64::MAX] {
        insert(&database, id, &format!("item {id}")).await.unwrap();
    }
    let select = "SELECT id FROM items WHERE id = $1";
    assert_eq!(database.statement(select).bind(1).fetch_one::<(i64,)>().await, Ok((1,)));
    let max = database.statement(select).bind(i64::MAX).fetch_one::<(i64,)>().await;
    assert_eq!(max, Ok((i64::MAX,)));
}

#[derive(Debug, PartialEq, sqlx::FromRow)]
struct Item {
    id: i64,
    #[sqlx(rename = "name")]
    title: String,
    amount: i64,
}

async fn rows_are_read_by_column_name(empty: EmptyDatabase) {
    let database = empty.migrated().await;
    insert(&database, 7, "seven").await.unwrap();
    let item: Item = database
        .statement("SELECT name, amount, id FROM items WHERE id = $1")
        .bind(7)
        .fetch_one()
        .await
        .unwrap();
    assert_eq!(item, Item { id: 7, title: "seven".to_owned(), amount: 0 });
}

async fn upsert_returns_the_row(empty: EmptyDatabase) {
    let database = empty.migrated().await;
    let upsert = "INSERT INTO items (id, name, amount) VALUES ($1, $2, 1) \
                  ON CONFLICT (id) DO UPDATE SET amount = items.amount + excluded.amount RETURNING amount";
    for expected in 1..=3 {
        let (amount,): (i64,) = database.statement(upsert).bind(1).bind("one").fetch_one().await.unwrap();
        assert_eq!(amount, expected);
    }
}

async fn rows_affected_are_counted(empty: EmptyDatabase) {
    let database = empty.migrated().await;
    for id in 0..3 {
        insert(&database, id, &format!("item {id}")).await.unwrap();
    }
    assert_eq!(
        database.statement("UPDATE items SET amount = 5 WHERE id > $1").bind(0).execute().await,
        Ok(2)
    );
    assert_eq!(database.statement("DELETE FROM items WHERE id = $1").bind(9).execute().await, Ok(0));
}

async fn missing_row_is_none_when_optional_and_an_error_when_required(empty: EmptyDatabase) {
    let database = empty.migrated().await;
    let select = || database.statement("SELECT id FROM items");
    assert_eq!(select().fetch_optional::<(i64,)>().await, Ok(None));
    assert_eq!(select().fetch_one::<(i64,)>().await, Err(StoreError::Internal));
}

async fn many_rows_are_inserted_by_one_statement(empty: EmptyDatabase) {
    let database = empty.migrated().await;
    let insert = database.dialect(
        "INSERT INTO items (id, name) SELECT * FROM unnest($1::bigint[], $2::text[])",
        "INSERT INTO items (id, name) \
         SELECT ids.value, names.value FROM json_each($1) AS ids JOIN json_each($2) AS names USING (key)",
    );
    let names = (0..1000).map(|id| format!("item \"{id}\""));
    let statement = database.statement(insert).bind_integer_array(0..1000).bind_text_array(names);
    assert_eq!(statement.execute().await, Ok(1000));
    let name = database.statement("SELECT name FROM items WHERE id = 999").fetch_one::<(String,)>().await;
    assert_eq!(name, Ok(("item \"999\"".to_owned(),)));
}

async fn arrays_of_bytes_and_nulls_are_bound(empty: EmptyDatabase) {
    let database = empty.migrated().await;
    let insert = database.dialect(
        "INSERT INTO items (id, name, payload) SELECT id, 'item ' || id, payload \
         FROM unnest($1::bigint[], $2::bytea[]) AS new (id, payload)",
        "INSERT INTO items (id, name, payload) SELECT ids.value, 'item ' || ids.value, unhex(payloads.value) \
         FROM json_each($1) AS ids JOIN json_each($2) AS payloads USING (key)",
    );
    let payloads = [Some(vec![0, 0xff]), None, Some(Vec::new())];
    let statement =
        database.statement(insert).bind_integer_array([1, 2, 3]).bind_bytes_array(payloads.clone());
    assert_eq!(statement.execute().await, Ok(3));
    let rows: Vec<(Option<Vec<u8>>,)> =
        database.statement("SELECT payload FROM items ORDER BY id").fetch_all().await.unwrap();
    assert_eq!(rows, payloads.map(|payload| (payload,)));
}

async fn constraints_are_told_by_name(empty: EmptyDatabase) {
    let database = empty.migrated().await;
    insert(&database, 1, "one").await.unwrap();
    insert(&database, 2, "two").await.unwrap();
    let unique = |name: &str| Err(StoreError::UniqueViolation { constraint: name.to_owned() });
    assert_eq!(insert(&database, 1, "other").await, unique("items_pkey"));
    assert_eq!(insert(&database, 3, "one").await, unique("items_name_key"));
    let same_parent = database.statement("UPDATE items SET parent = 1").execute().await;
    assert_eq!(same_parent, unique("items_parent_amount_key"));

    let negative = database.statement("UPDATE items SET amount = -1 WHERE id = 1").execute().await;
    assert_eq!(negative, Err(StoreError::CheckViolation { constraint: "amount_not_negative".to_owned() }));

    let orphan = database.statement("UPDATE items SET parent = 99 WHERE id = 1").execute().await;
    let constraint = database.dialect("items_parent_fkey", "");
    let constraint = (!constraint.is_empty()).then(|| constraint.to_owned());
    assert_eq!(orphan, Err(StoreError::ForeignKeyViolation { constraint }));
}

async fn committed_transaction_is_seen_by_others(empty: EmptyDatabase) {
    let database = empty.migrated().await;
    let other = empty.open();
    let mut transaction = database.begin().await.unwrap();
    let insert = "INSERT INTO items (id, name) VALUES ($1, $2) RETURNING id";
    let (id,): (i64,) = transaction.statement(insert).bind(1).bind("one").fetch_one().await.unwrap();
    let seen_inside: (i64,) =
        transaction.statement("SELECT COUNT(*) FROM items WHERE id = $1").bind(id).fetch_one().await.unwrap();
    assert_eq!(seen_inside, (1,));
    assert_eq!(count(&other).await, 0, "nobody sees what is not committed");
    transaction.commit().await.unwrap();
    assert_eq!(count(&other).await, 1);
}

async fn dropped_transaction_leaves_nothing(empty: EmptyDatabase) {
    let database = empty.migrated().await;
    for roll_back in [true, false] {
        let mut transaction = database.begin().await.unwrap();
        transaction.statement("INSERT INTO items (id, name) VALUES (1, 'one')").execute().await.unwrap();
        if roll_back {
            transaction.rollback().await.unwrap();
        } else {
            drop(transaction);
        }
    }
    insert(&database, 1, "one").await.unwrap();
    assert_eq!(count(&database).await, 1);
}

async fn concurrent_increments_lose_none(empty: EmptyDatabase) {
    let database = empty.migrated().await;
    let other = empty.open();
    insert(&database, 1, "counter").await.unwrap();
    let increments = (0..40).map(|number| {
        let database = if number % 2 == 0 { database.clone() } else { other.clone() };
        async move {
            let mut transaction = database.begin().await?;
            let update = "UPDATE items SET amount = amount + 1 WHERE id = 1 RETURNING amount";
            let (amount,): (i64,) = transaction.statement(update).fetch_one().await?;
            transaction.commit().await?;
            Ok::<i64, StoreError>(amount)
        }
    });
    let mut amounts: Vec<i64> =
        futures::future::join_all(increments).await.into_iter().collect::<Result<_, _>>().unwrap();
    amounts.sort_unstable();
    assert_eq!(amounts, (1..=40).collect::<Vec<_>>());
}

async fn statement_that_does_not_fit_the_schema_is_internal(empty: EmptyDatabase) {
    let database = empty.migrated().await;
    let outcome = database.statement("SELECT missing FROM items").fetch_all::<(i64,)>().await;
    assert_eq!(outcome, Err(StoreError::Internal));
}

async fn value_of_another_type_is_internal(empty: EmptyDatabase) {
    let database = empty.migrated().await;
    insert(&database, 1, "one").await.unwrap();
    let outcome = database.statement("SELECT name FROM items").fetch_all::<(i64,)>().await;
    assert_eq!(outcome, Err(StoreError::Internal));
}

async fn closed_database_is_unavailable(empty: EmptyDatabase) {
    let database = empty.migrated().await;
    database.close().await;
    assert_eq!(ask(&database).await, Err(StoreError::Unavailable));
    assert_eq!(insert(&database, 1, "one").await, Err(StoreError::Unavailable));
}

async fn ping_answers(empty: EmptyDatabase) {
    assert_eq!(ask(&empty.migrated().await).await, Ok(()));
}
