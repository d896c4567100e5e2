//! The verbs, one file per noun.

pub(crate) mod accounts;
pub(crate) mod archives;
pub(crate) mod browse;
pub(crate) mod containers;
pub(crate) mod context;
pub(crate) mod doctor;
pub(crate) mod exec;
pub(crate) mod fsck;
pub(crate) mod images;
pub(crate) mod isolation;
pub(crate) mod lab;
pub(crate) mod names;
pub(crate) mod push;
pub(crate) mod run;
pub(crate) mod search;
pub(crate) mod service;
pub(crate) mod settings;
pub(crate) mod status;
pub(crate) mod support;
pub(crate) mod vm;

use client::{Client, Endpoint};

use crate::exit::Failure;

/// coracled, started when it does not run.
async fn connect() -> Result<Client, Failure> {
    Ok(Client::ensure_service(Endpoint::from_env()?).await?)
}

/// Runs `each` for every name, prints the names that went well, and fails at the end if one did not.
async fn for_each<F>(
    names: Vec<String>,
    out: crate::output::Output,
    each: impl Fn(String) -> F,
) -> Result<crate::exit::Exit, Failure>
where
    F: Future<Output = Result<(), bollard::errors::Error>>,
{
    let mut exit = crate::exit::Exit::OK;
    for name in names {
        match each(name.clone()).await {
            Ok(()) if out.json => crate::output::line(&serde_json::json!({ "container": name }).to_string())?,
            Ok(()) => crate::output::line(&name)?,
            Err(error) => {
                Failure::from(error).print(out.json);
                exit = crate::exit::Exit::FAILED;
            }
        }
    }
    Ok(exit)
}

/// A path inside an image as it was typed. Names there are bytes; Windows types text alone.
fn path_bytes(path: &std::ffi::OsStr) -> Vec<u8> {
    #[cfg(unix)]
    return std::os::unix::ffi::OsStrExt::as_bytes(path).to_vec();
    #[cfg(not(unix))]
    path.to_string_lossy().into_owned().into_bytes()
}
