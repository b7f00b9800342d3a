//! Schemas: made once, whoever migrates and however often, and never beside each other.

use mcx_store::{Database, Schema, SchemaState, StoreError};
use sqlx::migrate::{Migration, Migrator};

use crate::fixture::{EmptyDatabase, SCHEMA, on_every_database};

on_every_database!(
    fresh_schema_becomes_current_and_stays_so,
    concurrent_migrations_all_succeed,
    older_schema_is_behind_until_migrated,
    newer_schema_is_ahead_and_still_serves,
    failing_migration_leaves_the_version_before_it,
    schemas_of_two_services_do_not_meet,
    service_starts_before_anybody_has_migrated,
);

/// The migrations of an earlier, or of another, program.
fn schema(name: &'static str, select: impl Fn(&Migrator) -> Vec<Migration>) -> Schema {
    let leak =
        |migrations| -> &'static Migrator { Box::leak(Box::new(Migrator::with_migrations(migrations))) };
    Schema { name, postgres: leak(select(SCHEMA.postgres)), sqlite: leak(select(SCHEMA.sqlite)) }
}

fn older_program() -> Schema {
    schema(SCHEMA.name, |migrator| migrator.iter().take(1).cloned().collect())
}

async fn fresh_schema_becomes_current_and_stays_so(empty: EmptyDatabase) {
    let database = empty.open();
    assert_eq!(database.schema_state().await, Ok(SchemaState::Behind { expected: 2, found: 0 }));
    for _ in 0..2 {
        assert_eq!(database.migrate().await, Ok(SchemaState::Current));
    }
    assert_eq!(database.require_schema().await, Ok(()));
}

async fn concurrent_migrations_all_succeed(empty: EmptyDatabase) {
    let replicas: Vec<Database> = (0..8).map(|_| empty.open()).collect();
    let states = futures::future::join_all(replicas.iter().map(Database::migrate)).await;
    assert_eq!(states, vec![Ok(SchemaState::Current); 8]);
}

async fn older_schema_is_behind_until_migrated(empty: EmptyDatabase) {
    let older = Database::open(&empty.config, &older_program()).unwrap();
    assert_eq!(older.migrate().await, Ok(SchemaState::Current));

    let database = empty.open();
    assert_eq!(database.require_schema().await, Err(StoreError::SchemaBehind { expected: 2, found: 1 }));
    assert_eq!(database.migrate().await, Ok(SchemaState::Current));
}

async fn newer_schema_is_ahead_and_still_serves(empty: EmptyDatabase) {
    empty.migrated().await;
    let older = Database::open(&empty.config, &older_program()).unwrap();
    let ahead = SchemaState::Ahead { expected: 1, found: 2 };
    assert_eq!(older.schema_state().await, Ok(ahead));
    assert_eq!(older.migrate().await, Ok(ahead));
    assert_eq!(older.require_schema().await, Ok(()));
}

async fn failing_migration_leaves_the_version_before_it(empty: EmptyDatabase) {
    let broken = schema(SCHEMA.name, |migrator| {
        let mut migrations: Vec<Migration> = migrator.iter().cloned().collect();
        let last = migrations.last_mut().unwrap();
        let sql = sqlx::AssertSqlSafe("CREATE TABLE left_over (id BIGINT); SELECT nonsense".to_owned());
        *last = Migration::new(
            2,
            "broken".into(),
            last.migration_type,
            sqlx::SqlSafeStr::into_sql_str(sql),
            false,
        );
        migrations
    });
    let database = Database::open(&empty.config, &broken).unwrap();
    match database.migrate().await {
        Err(StoreError::MigrationFailed { version: 2, detail }) => {
            assert!(detail.contains("nonsense"), "{detail}")
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(database.schema_state().await, Ok(SchemaState::Behind { expected: 2, found: 1 }));
    // The repaired program finds nothing in its way.
    assert_eq!(empty.open().migrate().await, Ok(SchemaState::Current));
}

async fn schemas_of_two_services_do_not_meet(empty: EmptyDatabase) {
    let other =
        Database::open(&empty.config, &schema("other_test", |all| all.iter().cloned().collect())).unwrap();
    let database = empty.migrated().await;
    assert_eq!(other.schema_state().await, Ok(SchemaState::Behind { expected: 2, found: 0 }));
    assert_eq!(other.migrate().await, Ok(SchemaState::Current));
    other.statement("INSERT INTO items (id, name) VALUES (1, 'one')").execute().await.unwrap();
    assert_eq!(database.statement("SELECT COUNT(*) FROM items").fetch_one::<(i64,)>().await, Ok((0,)));
}

async fn service_starts_before_anybody_has_migrated(empty: EmptyDatabase) {
    let database = empty.open();
    assert_eq!(database.require_schema().await, Err(StoreError::SchemaBehind { expected: 2, found: 0 }));
    empty.migrated().await;
    assert_eq!(database.require_schema().await, Ok(()));
    assert_eq!(database.statement("SELECT COUNT(*) FROM items").fetch_one::<(i64,)>().await, Ok((0,)));
}
