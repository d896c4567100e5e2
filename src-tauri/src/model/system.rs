//! The system around the app: its dialogs.

use serde::Deserialize;
use ts_rs::TS;

/// Files that a dialog offers.
#[derive(Clone, Debug, Deserialize, TS)]
#[serde(deny_unknown_fields)]
pub(crate) struct FileKind {
    /// In words.
    pub(crate) name: String,
    /// Without the dot.
    pub(crate) extensions: Vec<String>,
}

declared!(FileKind);
