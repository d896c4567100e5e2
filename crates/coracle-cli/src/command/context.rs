//! `coracle context`: a context for docker's own client.

use client::{Endpoint, docker_context};
use serde_json::json;

use crate::args::Context;
use crate::exit::{Exit, Failure};
use crate::output::Output;

const NAME: &str = docker_context::NAME;

pub(crate) fn run(action: &Context, out: Output) -> Result<Exit, Failure> {
    let endpoint = Endpoint::from_env()?;
    let host = endpoint.docker_host();
    match action {
        Context::Install => {
            docker_context::install(&endpoint)?;
            out.print(&json!({ "context": NAME, "host": host }), |_| {
                format!("Context \"{NAME}\" leads to {host}\nUse it:  docker context use {NAME}")
            })?;
        }
        Context::Remove => {
            let removed = docker_context::remove()?;
            out.print(&json!({ "removed": removed }), |_| {
                let text = if removed { "removed" } else { "was not there" };
                format!("Context \"{NAME}\" {text}")
            })?;
        }
        Context::Show => out.print(&json!({ "DOCKER_HOST": host }), |_| format!("DOCKER_HOST={host}"))?,
    }
    Ok(Exit::OK)
}
