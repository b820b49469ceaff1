//! Migrations of both dialects.

use std::error::Error;
use std::fmt;
use std::sync::Arc;

use diesel::backend::Backend;
use diesel::migration::MigrationSource;
use diesel_migrations::{EmbeddedMigrations, MigrationHarness};
use jangteo_domain::StoreError;

/// Runs the pending migrations and returns their names.
pub(crate) fn run_pending<DB: Backend>(
    harness: &mut impl MigrationHarness<DB>,
    migrations: EmbeddedMigrations,
) -> Result<Vec<String>, StoreError>
where
    EmbeddedMigrations: MigrationSource<DB>,
{
    let pending = harness.pending_migrations(migrations).map_err(failed)?;
    let names = pending.iter().map(|migration| migration.name().to_string()).collect();
    harness.run_migrations(&pending).map_err(failed)?;
    Ok(names)
}

/// The versions as stored in the migrations table.
pub(crate) fn versions<DB: Backend>(migrations: EmbeddedMigrations) -> Result<Vec<String>, StoreError>
where
    EmbeddedMigrations: MigrationSource<DB>,
{
    let migrations = migrations.migrations().map_err(failed)?;
    Ok(migrations.iter().map(|migration| migration.name().version().to_string()).collect())
}

fn failed(error: Box<dyn Error + Send + Sync>) -> StoreError {
    StoreError::Unexpected(Arc::new(MigrationFailed(error)))
}

#[derive(Debug)]
struct MigrationFailed(Box<dyn Error + Send + Sync>);

impl fmt::Display for MigrationFailed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a migration failed")
    }
}

impl Error for MigrationFailed {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&*self.0)
    }
}
