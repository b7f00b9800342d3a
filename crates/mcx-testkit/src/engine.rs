//! Each test of what is stored, on both databases.

use std::path::Path;

use crate::PostgresServer;

/// Where a system of a test keeps its durable state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Engine {
    /// In files of the test.
    Sqlite,
    /// On the Postgres server of the test run.
    Postgres,
}

impl Engine {
    /// The url of an empty database; with SQLite it is in the folder, which outlives it.
    pub fn database_url(self, folder: &Path) -> String {
        match self {
            Self::Sqlite => format!("sqlite:{}", folder.display()),
            Self::Postgres => PostgresServer::shared().create_database(),
        }
    }
}

/// Makes each test once per engine: `sqlite::name` and `postgres::name`. Each is given what `$make` makes of an [`Engine`]; paths in it
/// begin with `crate`.
#[macro_export]
macro_rules! on_every_database {
    ($make:expr; $($name:ident),* $(,)?) => {
        mod sqlite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                super::$name($make($crate::Engine::Sqlite).await).await;
            })*
        }
        mod postgres {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                super::$name($make($crate::Engine::Postgres).await).await;
            })*
        }
    };
}
