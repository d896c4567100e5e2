//! Which crate may depend on which: the arrows of docs/architecture.md.

use crate::{process, tree::Tree};
use anyhow::{Context, Result};
use serde::Deserialize;
use std::process::Command;

/// A crate and those of ours that it may name. `*` is all.
const ALLOWED: [(&str, &[&str]); 17] = [
    ("coracle-types", &[]),
    ("agent-proto", &["coracle-types"]),
    ("transport", &["coracle-types", "agent-proto"]),
    ("images", &["coracle-types"]),
    ("netcard", &[]),
    ("coracle-lab", &[]),
    ("vmm", &["transport", "agent-proto", "coracle-types"]),
    ("engine", &["images", "netcard", "vmm", "transport", "agent-proto", "coracle-lab", "coracle-types"]),
    ("engine-api", &["engine", "images", "vmm", "transport", "agent-proto", "coracle-lab", "coracle-types"]),
    ("coracled", &["*"]),
    ("coracle-client", &["coracle-lab"]),
    ("coracle-cli", &["coracle-client"]),
    ("coracle-desktop", &["coracle-client", "coracle-lab"]),
    ("guest-agent", &["agent-proto", "transport", "coracle-lab", "coracle-types"]),
    ("coracle-e2e", &["*"]),
    ("transport-contract", &["transport"]),
    ("xtask", &[]),
];

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    dependencies: Vec<Dependency>,
}

#[derive(Deserialize)]
struct Dependency {
    name: String,
    /// `dev`, `build`, or nothing for a plain one.
    kind: Option<String>,
    /// Set for the workspace's own.
    path: Option<String>,
}

/// Arrows that point the wrong way.
pub(super) fn findings(tree: &Tree) -> Result<Vec<String>> {
    let mut cargo = Command::new("cargo");
    cargo.args(["metadata", "--no-deps", "--format-version", "1"]).current_dir(tree.root());
    let metadata = serde_json::from_slice(&process::output(&mut cargo)?).context("cargo metadata")?;
    Ok(wrong(&metadata))
}

/// What only tests use may point anywhere.
fn wrong(metadata: &Metadata) -> Vec<String> {
    let mut findings = Vec::new();
    for package in &metadata.packages {
        let Some((_, allowed)) = ALLOWED.iter().find(|(name, _)| *name == package.name) else {
            findings.push(format!("crate {}: its arrows are not in xtask/src/tidy/arrows.rs", package.name));
            continue;
        };
        let ours = package.dependencies.iter().filter(|one| one.path.is_some());
        for one in ours.filter(|one| one.kind.as_deref() != Some("dev")) {
            if !allowed.contains(&"*") && !allowed.contains(&one.name.as_str()) {
                findings.push(format!("crate {} must not depend on {}", package.name, one.name));
            }
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_arrow_upwards_is_found() {
        let metadata = r#"{"packages": [
            {"name": "images", "dependencies": [
                {"name": "engine", "kind": null, "path": "/x"},
                {"name": "vmm", "kind": "dev", "path": "/x"},
                {"name": "serde", "kind": null}]},
            {"name": "coracled", "dependencies": [{"name": "engine", "kind": null, "path": "/x"}]},
            {"name": "strange", "dependencies": []}]}"#;
        let found = wrong(&serde_json::from_str(metadata).unwrap());
        assert_eq!(found.len(), 2, "{found:?}");
        assert_eq!(found[0], "crate images must not depend on engine");
        assert!(found[1].starts_with("crate strange"));
    }
}
