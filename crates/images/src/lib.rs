//! Images: registry client, content store, layers to EROFS, the layer disk.
//!
//! ```text
//! registry ──► partial/<hex> (hash of the blob) ──► blobs/sha256/<hex>        content store, OCI image-layout
//!      │                └─ bytes ─► gunzip ─► tar (hash of the tar) ─► EROFS ─► layers.raw       layer disk
//!      └── manifest, configuration ─────────────► blobs/sha256/<hex>
//!                                        all verified ──► db/images.redb      catalog: what exists
//! ```
//!
//! * A pull is one pass: when the last byte has arrived, been verified and synced, one transaction of
//!   the catalog makes the image exist. Before that nothing of it exists, after it everything does.
//! * The guest may have a layer mounted as long as an image names it; so a layer goes in two steps:
//!   [`Store::remove`] marks it released, [`Store::freed`] (the guest has let go) gives its extents back.
//! * Registry, layer and archive are hostile input: sizes are bounded, digests verified, nothing of
//!   theirs becomes a path of the host.
//!
//! Must not know: containers, Docker's HTTP, the VM, where the state folder is.

mod accounts;
mod archive;
pub mod browse;
mod catalog;
mod commit;
mod content;
mod distribution;
pub mod erofs;
mod error;
pub mod fsck;
#[cfg(any(fuzzing, test))]
pub mod fuzzing;
mod image;
mod layer;
pub mod layer_disk;
mod manifest_of;
mod platform;
mod progress;
mod pull;
mod push;
mod registry;
mod remove;
mod report;
mod search;
mod settings;
mod store;
pub mod tar;
mod url;
mod works;

pub use archive::{LoadError, Loaded, SaveError, Saving};
pub use commit::{CommitError, Step};
pub use distribution::{DistributionError, RemoteImage, RemotePlatform};
pub use error::{Conflict, LayerError, LookupError, PullError, RemoveError, StorageError, TagError};
pub use image::{HistoryEntry, Image, Layer};
pub use layer::ArriveError;
pub use layer_disk::Extent;
pub use platform::{Platform, PlatformError};
pub use progress::{Progress, ProgressDetail};
pub use push::{Push, PushError, PushProgress, Pushed};
pub use registry::{Account, Credentials, KeychainError, LoginError};
pub use remove::{InUse, Removed, Told};
pub use search::{Found, Search, SearchError};
pub use settings::{Mirror, ProxySettings, RegistrySettings};
pub use store::Store;
pub use url::{UrlError, open_url};
