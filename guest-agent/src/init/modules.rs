//! Kernel modules, by the list that the VM image brings (`vm-image/README.md`): lines of stage, file and name,
//! dependencies first.

use std::fs::{self, File};
use std::io;

use nix::errno::Errno;
use nix::kmod::{ModuleInitFlags, finit_module};

/// The list, written by `cargo xtask vm-image`.
const LIST: &str = "/lib/modules/coracle.list";

/// Why the modules of a stage are not loaded.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LoadError {
    /// The image has no list.
    #[error("no module list {LIST}")]
    List(#[source] io::Error),
    /// One module.
    #[error("module {path}: {source}")]
    Module {
        /// Its file.
        path: String,
        /// What the kernel said.
        source: io::Error,
    },
}

/// The files of `stage` in `list`.
fn of_stage<'l>(list: &'l str, stage: &str) -> impl Iterator<Item = &'l str> {
    list.lines().filter_map(move |line| {
        let mut words = line.split(' ');
        (words.next() == Some(stage)).then(|| words.next())?
    })
}

/// Loads the modules of `stage`; those that are loaded already count as done.
pub(crate) fn load(stage: &str) -> Result<(), LoadError> {
    let list = fs::read_to_string(LIST).map_err(LoadError::List)?;
    for path in of_stage(&list, stage) {
        let absolute = format!("/lib/modules/{path}");
        insert(&absolute).map_err(|source| LoadError::Module { path: absolute, source })?;
    }
    Ok(())
}

fn insert(path: &str) -> io::Result<()> {
    let file = File::open(path)?;
    match finit_module(&file, c"", ModuleInitFlags::empty()) {
        Ok(()) | Err(Errno::EEXIST) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::of_stage;

    #[test]
    fn stages_keep_their_order() {
        let list = "early-vsock b.ko b\nlate c.ko c\nearly-vsock a.ko a\n\n";
        assert_eq!(of_stage(list, "early-vsock").collect::<Vec<_>>(), ["b.ko", "a.ko"]);
        assert_eq!(of_stage(list, "late").collect::<Vec<_>>(), ["c.ko"]);
    }
}
