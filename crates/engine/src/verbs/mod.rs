//! What is asked of a container besides its life: what it uses, what it runs, what it changed, its files, an
//! image of it. Nothing here changes a record but [`update`], which the container's task calls.

mod archive;
mod changes;
mod commit;
mod dockerfile;
mod import;
pub(crate) mod isolation;
mod ps;
mod refusal;
mod stats;
mod tar_end;
mod top;
pub(crate) mod update;
mod volume_files;

pub use archive::{ArchiveRead, PathInfo, PutOptions};
pub use commit::CommitOptions;
pub use import::{ImportOptions, check_changes};
pub use refusal::Refusal;
pub(crate) use stats::Followed;
pub use volume_files::{FileInfo, VolumeFolder};
