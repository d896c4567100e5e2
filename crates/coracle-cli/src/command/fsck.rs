//! `coracle images fsck`.

use client::{FsckFinding, Level};

use crate::args::Fsck;
use crate::exit::{Exit, Failure};
use crate::output::{Output, mark, size};

pub(crate) async fn run(fsck: Fsck, out: Output) -> Result<Exit, Failure> {
    let found = super::connect().await?.images_fsck(fsck.repair, fsck.deep).await?;
    let open = found.findings.iter().filter(|finding| finding.is_open()).count();
    out.print(&found, |found| {
        let mut lines: Vec<String> = found.findings.iter().flat_map(lines).collect();
        let (images, layers, blobs) = (found.images, found.layers, found.blobs);
        let disk = size(found.extent_bytes);
        let verdict = match open {
            0 => "no problems".to_owned(),
            1 => "1 problem".to_owned(),
            more => format!("{more} problems"),
        };
        lines.push(format!(
            "{images} images, {layers} layers in {disk} of the layer disk, {blobs} blobs: {verdict}"
        ));
        lines.join("\n")
    })?;
    Ok(if open > 0 { Exit::FAILED } else { Exit::OK })
}

fn lines(finding: &FsckFinding) -> Vec<String> {
    let level = match (finding.level.as_str(), finding.is_open()) {
        ("note", _) => Level::Warn,
        (_, true) => Level::Error,
        (_, false) => Level::Ok,
    };
    let (kind, subject, detail) = (finding.kind.replace('_', " "), &finding.subject, &finding.detail);
    let mut lines = vec![format!("{}  {kind}: {subject}", mark(level)), format!("       {detail}")];
    lines.push(match (finding.outcome.state.as_str(), &finding.outcome.reason) {
        ("repaired", _) => format!("       Repaired: {}", finding.remedy),
        (_, Some(reason)) => format!("       Repair failed: {reason}"),
        _ => format!("       Remedy: {}", finding.remedy),
    });
    lines
}
