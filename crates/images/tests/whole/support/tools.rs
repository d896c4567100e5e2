//! Foreign programs that read and write images.

use std::path::Path;
use std::process::{Command, Stdio};

use super::image::{Made, OCI_MANIFEST};

/// Whether a program lacks; says so.
pub(crate) fn missing(program: &str) -> bool {
    let found = Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    if found.is_err() {
        eprintln!("SKIPPED: {program} is not installed");
    }
    found.is_err()
}

/// Runs a program to its good end; what it printed.
pub(crate) fn run(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {errors}");
    String::from_utf8(output.stdout).unwrap()
}

/// An image-layout folder with one image, `latest`.
pub(crate) fn layout(folder: &Path, made: &Made) {
    let blobs = folder.join("blobs/sha256");
    std::fs::create_dir_all(&blobs).unwrap();
    let manifest = (made.digest(), made.manifest.clone());
    for (digest, bytes) in made.blobs.clone().into_iter().chain([manifest]) {
        std::fs::write(blobs.join(digest.hex()), bytes).unwrap();
    }
    let index = format!(
        r#"{{"schemaVersion":2,"manifests":[{{"mediaType":"{OCI_MANIFEST}","digest":"{}","size":{},"annotations":{{"org.opencontainers.image.ref.name":"latest"}}}}]}}"#,
        made.digest(),
        made.manifest.len()
    );
    std::fs::write(folder.join("index.json"), index).unwrap();
    std::fs::write(folder.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
}
