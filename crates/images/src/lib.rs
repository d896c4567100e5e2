//! Images: registry client, content store, layers to EROFS, the layer disk.
