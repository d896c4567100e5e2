//! Archives of images: what `docker load` takes and `docker save` gives.
//!
//! ```text
//! blobs/sha256/<hex>     configurations, manifests, layers, as they are stored
//! index.json, oci-layout OCI image-layout: manifests and names
//! manifest.json          docker-archive: names, and which files are configuration and layers
//! repositories           for readers of Docker's first format
//! ```
//!
//! A load is one pass over the stream: layers go to the layer disk as they come, though what they are for is told
//! by documents that may come last. When the whole archive has been read and everything that its documents name has
//! been verified, the images come to exist; before that nothing does, and an error leaves nothing behind.
//!
//! Archives are hostile input: names in them are keys of tables and never paths of the host, documents and their sum
//! are bounded, what nothing names is dropped.

mod error;
mod load;
mod names;
mod read;
mod resolve;
mod save;

pub use error::{LoadError, SaveError};
pub use load::Loaded;
pub use save::Saving;
