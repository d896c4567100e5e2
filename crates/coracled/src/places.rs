//! Where the VM image and the helper programs are: installed, or in the folder of a build.

use std::path::{Path, PathBuf};

/// The folder of `vmlinux`, `initramfs.img`, `root.erofs` and `hello.tar`.
pub(crate) fn assets(given: Option<PathBuf>) -> PathBuf {
    given.unwrap_or_else(|| choose(&here(), &["../share/coracle/vm-image", "../vm-image"], "vmlinux"))
}

/// The folder of our helper programs.
pub(crate) fn libexec(given: Option<PathBuf>) -> PathBuf {
    let helper = format!("vhost-device-vsock{}", std::env::consts::EXE_SUFFIX);
    given.unwrap_or_else(|| choose(&here(), &[".", "../tools/bin", "../libexec/coracle"], &helper))
}

fn here() -> PathBuf {
    let program = std::env::current_exe().and_then(std::fs::canonicalize).unwrap_or_default();
    program.parent().map(Path::to_owned).unwrap_or_default()
}

/// The first of `folders` that holds `file`; the first of all where none does, for the error to name.
fn choose(here: &Path, folders: &[&str], file: &str) -> PathBuf {
    let all = || folders.iter().map(|folder| normal(&here.join(folder)));
    all().find(|folder| folder.join(file).is_file()).or_else(|| all().next()).unwrap_or_default()
}

/// Without `.` and `..`, so that messages are readable.
fn normal(path: &Path) -> PathBuf {
    let mut out = PathBuf::new();
    for part in path.components() {
        match part {
            std::path::Component::CurDir => {}
            std::path::Component::ParentDir => {
                out.pop();
            }
            part => out.push(part),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_exists_wins_and_the_first_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let bin = dir.path().join("debug");
        std::fs::create_dir_all(&bin).unwrap();
        let choose = || choose(&bin, &["../share/coracle/vm-image", "../vm-image"], "vmlinux");
        assert_eq!(choose(), dir.path().join("share/coracle/vm-image"));
        std::fs::create_dir_all(dir.path().join("vm-image")).unwrap();
        std::fs::write(dir.path().join("vm-image/vmlinux"), "").unwrap();
        assert_eq!(choose(), dir.path().join("vm-image"));
    }
}
