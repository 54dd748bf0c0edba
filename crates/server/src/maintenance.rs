//! Work on the durable store of a deployment whose data plane may not run: looking, copying, restoring.

use std::path::Path;

use motte_store::{CheckReport, SalvageReport, Source};

use crate::clock::Clock;
use crate::directory::{self, StateDirectory};
use crate::error::ServeError;

/// Looks at the store of the deployment with this state directory, whether it is being worked on or not.
///
/// # Errors
/// The store cannot be looked at. What is wrong in it is in the report.
pub fn check_store(state_directory: &Path) -> Result<CheckReport, ServeError> {
    let store = StateDirectory::store_in(state_directory);
    Ok(motte_store::check(&store, Clock::new().now())?)
}

/// Copies the store to `target`, whether it is being worked on or not.
///
/// # Errors
/// The store cannot be read or the copy not written; no half copy is left.
pub fn back_up_store(state_directory: &Path, target: &Path) -> Result<(), ServeError> {
    let store = StateDirectory::store_in(state_directory);
    Ok(motte_store::back_up(&store, target)?)
}

/// Puts a good store in the place of the one that is there, which is set aside.
///
/// # Errors
/// A data plane works on the directory, or the source is of no use; nothing has been changed then.
pub fn restore_store(state_directory: &Path, source: Source<'_>) -> Result<SalvageReport, ServeError> {
    let _lock = directory::lock(state_directory)?;
    let store = StateDirectory::store_in(state_directory);
    Ok(motte_store::restore(&store, source, Clock::new().now())?)
}
