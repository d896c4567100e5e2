//! Real Debian roots for images.

use std::time::Duration;

use crate::{Run, build_folder};

/// The tar of a Debian root, with one more package if one is named; made once and kept under `name` beside the other
/// build products.
pub async fn debian_root(name: &str, package: Option<&str>) -> Vec<u8> {
    let folder = build_folder().join("test-images");
    std::fs::create_dir_all(&folder).unwrap();
    let archive = folder.join(format!("{name}.tar"));
    if !archive.exists() {
        let made = folder.join(format!("{name}.{}.tar", std::process::id()));
        let release = std::fs::read_to_string("/etc/os-release").unwrap();
        let suite = release.lines().find_map(|line| line.strip_prefix("VERSION_CODENAME=")).unwrap();
        Run::new("mmdebstrap")
            .args(["--quiet", "--variant=minbase"])
            .args(package.map(|package| format!("--include={package}")))
            .args([suite])
            .args([&made])
            .within(Duration::from_secs(400))
            .ok()
            .await;
        std::fs::rename(&made, &archive).unwrap();
    }
    std::fs::read(archive).unwrap()
}
