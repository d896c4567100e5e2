//! `manifest.json`: what the image was made from, and what came out.

use super::packages::Packages;
use crate::digest;
use anyhow::Result;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// The whole file. Holds nothing that differs between two builds of the same inputs.
#[derive(Debug, Serialize, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub(crate) struct Manifest {
    /// Version of this file's form.
    schema: u32,
    /// Version of Coracle.
    version: String,
    /// Whether there is a shell in the guest.
    debug_shell: bool,
    inputs: Vec<Input>,
    outputs: Vec<Output>,
}

#[derive(Debug, Serialize, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
struct Input {
    name: String,
    version: String,
    sha256: String,
}

#[derive(Debug, Serialize, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
struct Output {
    name: String,
    size_bytes: u64,
    sha256: String,
}

impl Manifest {
    /// Describes the outputs in a folder and the inputs they were made from.
    pub(crate) fn of(
        packages: &Packages,
        agent: &Path,
        debug_shell: bool,
        folder: &Path,
        outputs: &[&str],
    ) -> Result<Self> {
        let version = env!("CARGO_PKG_VERSION").to_owned();
        let mut inputs = vec![Input {
            name: "guest-agent".to_owned(),
            version: version.clone(),
            sha256: digest::of_file(agent)?,
        }];
        inputs.extend(packages.debs().iter().map(|deb| Input {
            name: deb.package.clone(),
            version: deb.version.clone(),
            sha256: deb.sha256.clone(),
        }));
        inputs.sort_by(|one, other| one.name.cmp(&other.name));
        let outputs = outputs.iter().map(|name| describe(folder, name)).collect::<Result<_>>()?;
        Ok(Self { schema: 1, version, debug_shell, inputs, outputs })
    }

    /// As text, ending in a new line.
    pub(crate) fn to_json(&self) -> Result<String> {
        Ok(serde_json::to_string_pretty(self)? + "\n")
    }
}

fn describe(folder: &Path, name: &str) -> Result<Output> {
    let path = folder.join(name);
    Ok(Output { name: name.to_owned(), size_bytes: path.metadata()?.len(), sha256: digest::of_file(&path)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn survives_its_own_reading_and_refuses_strange_fields() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("x"), "abc").unwrap();
        let output = describe(folder.path(), "x").unwrap();
        assert_eq!(output.size_bytes, 3);
        assert!(output.sha256.starts_with("ba7816bf"));
        let manifest = Manifest {
            schema: 1,
            version: "0".into(),
            debug_shell: false,
            inputs: vec![],
            outputs: vec![output],
        };
        let text = manifest.to_json().unwrap();
        assert_eq!(serde_json::from_str::<Manifest>(&text).unwrap(), manifest);
        let strange = text.replacen('{', "{\"built_on\": \"x\",", 1);
        assert!(serde_json::from_str::<Manifest>(&strange).is_err());
    }
}
