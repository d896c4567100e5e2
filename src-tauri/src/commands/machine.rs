//! This computer: what Coracle needs of it, docker's own command line, and what helps to find a fault.

use std::path::Path;

use client::docker_context;
use tauri::State;
use tokio::io::AsyncWriteExt as _;

use super::{Answer, as_told};
use crate::{
    failure::Failure,
    link::Link,
    model::{DockerContext, Finding},
};

#[tauri::command]
pub(crate) async fn doctor(link: State<'_, Link>) -> Answer<Vec<Finding>> {
    as_told(&link.client().await?.doctor().await?.findings)
}

#[tauri::command]
pub(crate) async fn docker_context(link: State<'_, Link>) -> Answer<DockerContext> {
    as_told(&docker_context::state(link.endpoint()).map_err(not_read)?)
}

/// Writes the context; with `select`, docker uses it from now on.
#[tauri::command]
pub(crate) async fn docker_context_install(link: State<'_, Link>, select: bool) -> Answer<DockerContext> {
    docker_context::install(link.endpoint()).map_err(not_read)?;
    if select {
        docker_context::select().map_err(not_read)?;
    }
    as_told(&docker_context::state(link.endpoint()).map_err(not_read)?)
}

#[allow(clippy::needless_pass_by_value, reason = "the signature that map_err wants")]
fn not_read(error: docker_context::ContextError) -> Failure {
    Failure::other(error.to_string())
}

/// Writes the support bundle into a file that the person chose: whole, or not at all.
#[tauri::command]
pub(crate) async fn support_bundle(link: State<'_, Link>, path: String) -> Answer<()> {
    let path = Path::new(&path);
    let unwritten = |source: std::io::Error| Failure::other(format!("{}: {source}", path.display()));
    let mut bundle = link.client().await?.support_bundle().await?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let part = tempfile::Builder::new().prefix(".coracle-").tempfile_in(folder).map_err(unwritten)?;
    let mut file = tokio::fs::File::from_std(part.reopen().map_err(unwritten)?);
    while let Some(piece) = bundle.piece().await? {
        file.write_all(&piece).await.map_err(unwritten)?;
    }
    file.sync_all().await.map_err(unwritten)?;
    part.persist(path).map_err(|error| unwritten(error.error))?;
    Ok(())
}
