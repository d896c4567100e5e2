//! The engine's database, `db/engine.redb`.
//!
//! ```text
//! containers   id -> Record (JSON)      what the engine knows of each container
//! graves       id -> ()                 removed on the host, not yet in the guest
//! ```
//!
//! All changes go through one thread, which puts what waits into one transaction: 30 containers that end
//! together cost one sync, not 30. Each commit is durable (`Durability::Immediate`) before it is answered;
//! redb offers nothing between that and losing the commit when the process is killed.

/// Why the database did not do it.
#[derive(Debug, Clone, thiserror::Error)]
#[error("database {}: {doing}: {cause}", path.display())]
pub struct DbError {
    /// Its file.
    pub path: std::path::PathBuf,
    /// What was under way.
    pub doing: &'static str,
    /// The database's reason, as text: its errors cannot be cloned.
    pub cause: String,
}
