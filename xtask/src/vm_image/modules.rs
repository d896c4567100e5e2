//! The kernel modules that the guest uses, each with its dependencies, in the order in which they load.
//!
//! Debian's package has no `modules.dep` (it is made at installation), so the dependencies are read from the modules.

use super::{elf::Elf, kernel::filter, recipe::Stages};
use anyhow::{Context, Result, bail};
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The chosen modules.
#[derive(Debug)]
pub(crate) struct Modules {
    /// Uncompressed, by name.
    pub(crate) files: BTreeMap<String, Vec<u8>>,
    /// Stage and module, in loading order.
    pub(crate) order: Vec<(&'static str, String)>,
}

impl Modules {
    /// Picks from an unpacked kernel package.
    pub(crate) fn pick(package: &Path, stages: &Stages) -> Result<Self> {
        let catalogue = Catalogue::read(package)?;
        let mut files = BTreeMap::new();
        let mut order = Vec::new();
        for (stage, wanted) in stages.each() {
            for name in load_order(wanted, |name| catalogue.dependencies(name, &mut files))? {
                order.push((stage, name));
            }
        }
        Ok(Self { files, order })
    }

    /// `/lib/modules/coracle.list`, as `vm-image/README.md` describes it.
    pub(crate) fn list(&self) -> String {
        self.order.iter().map(|(stage, name)| format!("{stage} {name}.ko {name}\n")).collect()
    }
}

/// What a module needs before itself; nothing where the kernel has it built in.
type Needs = Option<Vec<String>>;

/// The wanted modules and all they need, each once, needs first; otherwise in the wished order.
fn load_order(wanted: &[String], mut needs: impl FnMut(&str) -> Result<Needs>) -> Result<Vec<String>> {
    let mut order = Vec::new();
    let mut seen = HashSet::new();
    let mut open: Vec<(String, bool)> = wanted.iter().rev().map(|name| (canonical(name), false)).collect();
    while let Some((name, needs_are_in)) = open.pop() {
        if needs_are_in {
            order.push(name);
        } else if seen.insert(name.clone())
            && let Some(needed) = needs(&name)?
        {
            open.push((name, true));
            open.extend(needed.iter().rev().map(|name| (canonical(name), false)));
        }
    }
    Ok(order)
}

/// A dash and an underscore are the same in a module's name.
fn canonical(name: &str) -> String {
    name.replace('-', "_")
}

/// Which modules a kernel has, as files and built in.
struct Catalogue {
    files: BTreeMap<String, PathBuf>,
    built_in: BTreeSet<String>,
}

impl Catalogue {
    fn read(package: &Path) -> Result<Self> {
        let folder = package.join("usr/lib/modules");
        let folder = if folder.is_dir() { folder } else { package.join("lib/modules") };
        let version = std::fs::read_dir(&folder)
            .and_then(|mut entries| entries.next().transpose())
            .with_context(|| format!("cannot list {}", folder.display()))?
            .with_context(|| format!("{} is empty", folder.display()))?
            .path();
        let built_in = std::fs::read_to_string(version.join("modules.builtin"))?;
        let built_in = built_in.lines().filter_map(|line| module_name(Path::new(line))).collect();
        let mut files = BTreeMap::new();
        for file in super::files_below(&version.join("kernel"))? {
            if let Some(name) = module_name(&file) {
                files.insert(name, file);
            }
        }
        Ok(Self { files, built_in })
    }

    /// Reads a module into `files` and says what it needs.
    fn dependencies(&self, name: &str, files: &mut BTreeMap<String, Vec<u8>>) -> Result<Needs> {
        let Some(path) = self.files.get(name) else {
            if self.built_in.contains(name) {
                return Ok(None);
            }
            bail!("this kernel has no module {name}");
        };
        if !files.contains_key(name) {
            let body = uncompressed(path)?;
            files.insert(name.to_owned(), without_signature(&body)?.to_vec());
        }
        let elf = Elf::parse(&files[name]).with_context(|| path.display().to_string())?;
        let mut needs: Vec<String> = Vec::new();
        for line in elf.modinfo("depends")? {
            needs.extend(line.split(',').filter(|name| !name.is_empty()).map(str::to_owned));
        }
        // Soft dependencies only matter where there is something to load.
        for line in elf.modinfo("softdep")? {
            let before = line.split("post:").next().and_then(|part| part.trim().strip_prefix("pre:"));
            let names = before.unwrap_or_default().split_whitespace().map(canonical);
            needs.extend(names.filter(|name| self.files.contains_key(name)));
        }
        Ok(Some(needs))
    }
}

fn module_name(path: &Path) -> Option<String> {
    let file = path.file_name()?.to_str()?;
    let stem = [".ko.xz", ".ko.zst", ".ko"].iter().find_map(|end| file.strip_suffix(end))?;
    Some(canonical(stem))
}

fn uncompressed(path: &Path) -> Result<Vec<u8>> {
    let bytes = std::fs::read(path)?;
    match path.extension().and_then(|end| end.to_str()) {
        Some("xz") => filter(Command::new("xz").arg("-dc"), &bytes),
        Some("zst") => filter(Command::new("zstd").arg("-dcq"), &bytes),
        _ => Ok(bytes),
    }
}

/// Ends a signed module (Documentation/admin-guide/module-signing.rst).
const SIGNED: &[u8] = b"~Module signature appended~\n";
/// Before it stands `struct module_signature`, whose last four bytes are the signature's length, big endian.
const SIGNATURE_HEADER: usize = 12;

/// The module without its signature: the guest's kernel does not ask for one, and checking it costs each boot the time
/// (docs/vm-image.md). apt has checked the package.
fn without_signature(module: &[u8]) -> Result<&[u8]> {
    let Some(rest) = module.strip_suffix(SIGNED) else { return Ok(module) };
    let length = rest.last_chunk::<4>().context("a module's signature is cut short")?;
    let length = usize::try_from(u32::from_be_bytes(*length))?;
    let end = rest.len().checked_sub(SIGNATURE_HEADER + length);
    Ok(&rest[..end.context("a module's signature is longer than the module")?])
}

#[cfg(test)]
mod tests {
    use super::super::elf::tests::module;
    use super::*;

    fn order(wanted: &[&str], needs: &[(&str, &[&str])]) -> Result<Vec<String>> {
        let wanted: Vec<String> = wanted.iter().map(|&name| name.to_owned()).collect();
        load_order(&wanted, |name| {
            let Some((_, needs)) = needs.iter().find(|(found, _)| *found == name) else { bail!("no {name}") };
            if *needs == ["built in"] {
                return Ok(None);
            }
            Ok(Some(needs.iter().map(|&name| name.to_owned()).collect()))
        })
    }

    #[test]
    fn needs_come_first_and_once() {
        let needs: &[(&str, &[&str])] =
            &[("a", &["b", "c"]), ("b", &["d"]), ("c", &["d"]), ("d", &[]), ("x", &["built in"])];
        assert_eq!(order(&["a", "c", "x"], needs).unwrap(), ["d", "b", "c", "a"]);
        assert_eq!(order(&["d", "a"], needs).unwrap(), ["d", "b", "c", "a"]);
        assert!(order(&["y"], needs).is_err());
    }

    #[test]
    fn dashes_are_underscores_and_a_circle_ends() {
        let needs: &[(&str, &[&str])] = &[("dm_mod", &["dax-x"]), ("dax_x", &["dm-mod"])];
        assert_eq!(order(&["dm-mod"], needs).unwrap(), ["dax_x", "dm_mod"]);
    }

    #[test]
    fn signatures_are_cut_off() {
        let mut signed = b"body".to_vec();
        signed.extend(b"sign");
        signed.extend([1, 2, 3, 4, 5, 6, 7, 8, 0, 0, 0, 4]);
        signed.extend(SIGNED);
        assert_eq!(without_signature(&signed).unwrap(), b"body");
        assert_eq!(without_signature(b"body").unwrap(), b"body");
        assert!(without_signature(&[b"\0\0\0\x09", SIGNED].concat()).is_err());
    }

    #[test]
    fn picks_from_a_package() {
        let package = tempfile::tempdir().unwrap();
        let version = package.path().join("usr/lib/modules/6.1");
        std::fs::create_dir_all(version.join("kernel/net")).unwrap();
        std::fs::write(version.join("modules.builtin"), "kernel/fs/ext4/ext4.ko\n").unwrap();
        std::fs::write(version.join("kernel/net/vsock.ko"), module("depends=\0")).unwrap();
        let virtio = "depends=vsock\0softdep=pre: absent ext4\0";
        std::fs::write(version.join("kernel/net/vsock-virtio.ko"), module(virtio)).unwrap();
        let stages = Stages {
            early_vsock: vec!["vsock_virtio".into()],
            early_serial: vec![],
            late: vec!["ext4".into(), "vsock".into()],
        };
        let modules = Modules::pick(package.path(), &stages).unwrap();
        let list =
            "early-vsock vsock.ko vsock\nearly-vsock vsock_virtio.ko vsock_virtio\nlate vsock.ko vsock\n";
        assert_eq!(modules.list(), list);
        assert_eq!(modules.files.len(), 2);
    }
}
