//! `coracle service`.

use client::{Client, Endpoint};
use serde_json::json;

use crate::args::Service;
use crate::exit::{Exit, Failure};
use crate::output::Output;

pub(crate) async fn run(action: Service, out: Output) -> Result<Exit, Failure> {
    let endpoint = Endpoint::from_env()?;
    let left_vm = endpoint.has_left_vm();
    match action {
        Service::Start => {
            let client = Client::ensure_service(endpoint).await?;
            let report = client.status().await?;
            out.print(&report.service, |service| {
                format!("coracled {} runs (pid {}) at {}", service.version, service.pid, service.socket)
            })?;
        }
        Service::Stop { vm } => match Client::connect(endpoint).await {
            Ok(client) => {
                client.shutdown(vm).await?;
                let text =
                    if vm { "coracled and its VM stopped" } else { "coracled stopped; containers go on" };
                out.print(&json!({ "running": false }), |_| text.to_owned())?;
            }
            // What an earlier service left can be stopped only by one.
            Err(error) if error.is_unreachable() && vm && left_vm => {
                Client::ensure_service(Endpoint::from_env()?).await?.shutdown(true).await?;
                out.print(&json!({ "running": false }), |_| {
                    "the VM stopped; coracled did not run".to_owned()
                })?;
            }
            Err(error) if error.is_unreachable() => {
                out.print(&json!({ "running": false }), |_| "coracled does not run".to_owned())?;
            }
            Err(error) => return Err(error.into()),
        },
        Service::Status => match Client::connect(endpoint).await {
            Ok(client) => {
                let report = client.status().await?;
                out.print(&report.service, |service| {
                    format!(
                        "coracled {} runs (pid {}), up {} s",
                        service.version, service.pid, service.uptime_s
                    )
                })?;
            }
            Err(error) if error.is_unreachable() => {
                out.print(&json!({ "running": false }), |_| "coracled does not run".to_owned())?;
                // As systemctl's: not running.
                return Ok(Exit(3));
            }
            Err(error) => return Err(error.into()),
        },
    }
    Ok(Exit::OK)
}
