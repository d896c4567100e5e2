//! `coracle status`.

use client::{Client, Endpoint};
use serde_json::json;

use crate::exit::{Exit, Failure};
use crate::output::{Output, size};

pub(crate) async fn run(out: Output) -> Result<Exit, Failure> {
    // A look must not start what it looks at.
    let client = match Client::connect(Endpoint::from_env()?).await {
        Ok(client) => client,
        Err(error) if error.is_unreachable() => {
            out.print(&json!({ "service": null }), |_| {
                "Service      does not run (coracle service start)".into()
            })?;
            return Ok(Exit(3));
        }
        Err(error) => return Err(error.into()),
    };
    let report = client.status().await?;
    out.print(&report, |report| {
        let mut lines = vec![
            format!("Service      coracled {} (pid {})", report.service.version, report.service.pid),
            format!("Home         {}", report.service.home),
            format!("Socket       {}", report.service.socket),
            format!("VM           {}", super::vm::describe(&report.vm)),
        ];
        if let Some(guest) = &report.guest {
            let used = guest.mem_total_bytes.saturating_sub(guest.mem_available_bytes);
            lines.push(format!("Guest        Linux {}", guest.kernel));
            lines.push(format!("Memory       {} of {} in use", size(used), size(guest.mem_total_bytes)));
        }
        lines
            .push(format!("Containers   {}, {} running", report.containers.total, report.containers.running));
        lines.push(format!("Images       {}, {}", report.images.total, size(report.images.bytes)));
        lines.join("\n")
    })?;
    Ok(Exit::OK)
}
