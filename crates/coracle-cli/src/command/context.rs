//! `coracle context`: a context for docker's own client, written where that client keeps its own
//! (`contexts/meta/<sha256 of the name>/meta.json` below its configuration folder).

use std::fs;
use std::io::Write as _;
use std::path::PathBuf;

use client::Endpoint;
use serde_json::json;
use sha2::{Digest as _, Sha256};

use crate::args::Context;
use crate::exit::{Exit, Failure};
use crate::output::Output;

const NAME: &str = "coracle";

pub(crate) fn run(action: &Context, out: Output) -> Result<Exit, Failure> {
    let host = Endpoint::from_env()?.docker_host();
    let folder = folder()?;
    match action {
        Context::Install => {
            fs::create_dir_all(&folder)?;
            let meta = json!({
                "Name": NAME,
                "Metadata": { "Description": "Coracle" },
                "Endpoints": { "docker": { "Host": host, "SkipTLSVerify": false } },
            });
            let mut file = tempfile::NamedTempFile::new_in(&folder)?;
            file.write_all(meta.to_string().as_bytes())?;
            file.persist(folder.join("meta.json")).map_err(|error| Failure::from(error.error))?;
            out.print(&json!({ "context": NAME, "host": host }), |_| {
                format!("Context \"{NAME}\" leads to {host}\nUse it:  docker context use {NAME}")
            })?;
        }
        Context::Remove => {
            let removed = match fs::remove_dir_all(&folder) {
                Ok(()) => true,
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => false,
                Err(error) => return Err(error.into()),
            };
            out.print(&json!({ "removed": removed }), |_| {
                let text = if removed { "removed" } else { "was not there" };
                format!("Context \"{NAME}\" {text}")
            })?;
        }
        Context::Show => out.print(&json!({ "DOCKER_HOST": host }), |_| format!("DOCKER_HOST={host}"))?,
    }
    Ok(Exit::OK)
}

fn folder() -> Result<PathBuf, Failure> {
    let config = match std::env::var_os("DOCKER_CONFIG").filter(|folder| !folder.is_empty()) {
        Some(folder) => PathBuf::from(folder),
        None => {
            dirs::home_dir().ok_or_else(|| Failure::new("no home folder; set DOCKER_CONFIG"))?.join(".docker")
        }
    };
    Ok(config.join("contexts/meta").join(hex::encode(Sha256::digest(NAME))))
}
