//! `coracle support-bundle`.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::PathBuf;

use serde_json::json;

use crate::exit::{Exit, Failure};
use crate::output::{Output, size};

pub(crate) async fn run(output: Option<PathBuf>, out: Output) -> Result<Exit, Failure> {
    let mut bundle = super::connect().await?.support_bundle().await?;
    let named = output.is_some();
    let path = output.unwrap_or_else(|| PathBuf::from(bundle.file_name()));
    let told = |error: std::io::Error| Failure::new(format!("cannot write {}: {error}", path.display()));
    // A name of our own making must not take another file's place.
    let mut file = OpenOptions::new()
        .write(true)
        .create(named)
        .create_new(!named)
        .truncate(true)
        .open(&path)
        .map_err(told)?;
    let mut bytes = 0;
    while let Some(piece) = bundle.piece().await? {
        file.write_all(&piece).map_err(told)?;
        bytes += piece.len() as u64;
    }
    file.sync_all().map_err(told)?;
    out.print(&json!({ "file": path, "bytes": bytes }), |_| {
        format!("{} ({}). Look through it before you pass it on.", path.display(), size(bytes))
    })?;
    Ok(Exit::OK)
}
