//! Running an image.

use serde::Deserialize;
use ts_rs::TS;

/// What the run dialog asks for.
#[derive(Clone, Debug, Deserialize, TS)]
#[serde(deny_unknown_fields)]
pub(crate) struct RunRequest {
    pub(crate) image: String,
    pub(crate) name: Option<String>,
    pub(crate) command: Vec<String>,
    pub(crate) remove_on_exit: bool,
}

declared!(RunRequest);
