//! `coracle doctor`.

use client::Level;

use crate::exit::{Exit, Failure};
use crate::output::{Output, mark};

pub(crate) async fn run(out: Output) -> Result<Exit, Failure> {
    let doctor = super::connect().await?.doctor().await?;
    out.print(&doctor, |doctor| {
        let mut lines = Vec::new();
        for finding in &doctor.findings {
            lines.push(format!("{}  {}", mark(finding.level), finding.title));
            if !finding.detail.is_empty() {
                lines.extend(finding.detail.lines().map(|line| format!("       {line}")));
            }
            lines.extend(finding.fix.iter().map(|fix| format!("       Try: {fix}")));
        }
        lines.join("\n")
    })?;
    let broken = doctor.findings.iter().any(|finding| finding.level == Level::Error);
    Ok(if broken { Exit::FAILED } else { Exit::OK })
}
