//! Debian packages from suites that this machine does not use, with apt's own checks of signatures and digests, and
//! without touching the machine's own sources.
//!
//! A [`Archive`] is a folder below `target/apt` with its own sources list, package lists and cache:
//!
//! ```text
//! target/apt/<name>/sources.list    suites of one mirror, signed by Debian's keyring
//!                   state/ cache/   apt's own
//!                   status          empty, where packages are only downloaded and unpacked
//! ```

pub(crate) mod mirror;

use crate::{process, tree::Tree};
use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Debian's keys, from the package `debian-archive-keyring`.
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// Which packages count as installed when dependencies are solved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Installed {
    /// None: packages are only downloaded.
    Nothing,
    /// This machine's: packages will be installed.
    Machine,
}

/// Some suites of Debian, apart from the machine's own sources.
#[derive(Debug)]
pub(crate) struct Archive {
    folder: PathBuf,
    installed: Installed,
}

/// One downloaded package.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub(crate) struct Deb {
    /// Package name.
    pub(crate) package: String,
    /// Its version, as Debian writes it.
    pub(crate) version: String,
    /// sha256 of the file, as the signed index has it.
    pub(crate) sha256: String,
    /// Name of the file in the folder it was downloaded to.
    pub(crate) file: String,
}

impl Archive {
    /// Makes the private folder for these suites and brings its package lists up to date.
    pub(crate) fn open(tree: &Tree, name: &str, suites: &[&str], installed: Installed) -> Result<Self> {
        if process::in_path("apt-get").is_none() {
            bail!(
                "apt-get is missing: this step unpacks Debian packages; use Debian, Ubuntu or a container of one"
            );
        }
        if !Path::new(KEYRING).exists() {
            bail!("{KEYRING} is missing: install the package debian-archive-keyring");
        }
        let archive = Self { folder: tree.target("apt").join(name), installed };
        for part in ["state/lists/partial", "cache/archives/partial"] {
            std::fs::create_dir_all(archive.folder.join(part))?;
        }
        std::fs::write(archive.folder.join("status"), "")?;
        let mirror = mirror::find()?;
        let line = |suite: &&str| format!("deb [signed-by={KEYRING}] {mirror} {suite} main\n");
        let sources: String = suites.iter().map(line).collect();
        std::fs::write(archive.folder.join("sources.list"), sources)?;
        process::output(archive.apt("apt-get").args(["--error-on=any", "update"]))
            .with_context(|| format!("cannot read the suites {suites:?} of {mirror}; {}", mirror::HINT))?;
        Ok(archive)
    }

    /// An apt program with this archive's sources instead of the machine's.
    pub(crate) fn apt(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        for (option, value) in self.options() {
            command.arg("-o").arg(format!("{option}={value}"));
        }
        command
    }

    /// The settings that keep apt away from the machine's own sources, pins and lists.
    pub(crate) fn options(&self) -> Vec<(&'static str, String)> {
        let inside = |part: &str| self.folder.join(part).display().to_string();
        let mut options = vec![
            ("Dir::State", inside("state")),
            ("Dir::Cache", inside("cache")),
            // Container images switch these off; then every question costs seconds.
            ("Dir::Cache::pkgcache", "pkgcache.bin".to_owned()),
            ("Dir::Cache::srcpkgcache", "srcpkgcache.bin".to_owned()),
            ("Dir::Etc::sourcelist", inside("sources.list")),
            ("Dir::Etc::sourceparts", "/dev/null".to_owned()),
            ("Dir::Etc::preferences", "/dev/null".to_owned()),
            ("Dir::Etc::preferencesparts", "/dev/null".to_owned()),
            ("Acquire::IndexTargets::deb::DEP-11::DefaultEnabled", "false".to_owned()),
            ("Acquire::Languages", "none".to_owned()),
            // apt's own unprivileged user has no access to a home folder.
            ("APT::Sandbox::User", "root".to_owned()),
        ];
        match self.installed {
            Installed::Nothing => options.push(("Dir::State::status", inside("status"))),
            Installed::Machine => {
                options.push(("Dir::State::status", "/var/lib/dpkg/status".to_owned()));
                options.push(("Dir::State::extended_states", "/var/lib/apt/extended_states".to_owned()));
            }
        }
        options
    }

    /// What the index says of a package's newest version.
    pub(crate) fn show(&self, package: &str) -> Result<Record> {
        let text = process::text(self.apt("apt-cache").args(["show", "--no-all-versions", package]))
            .with_context(|| format!("no package {package} in this archive"))?;
        Ok(Record { package: package.to_owned(), text })
    }

    /// Downloads one package's newest version into a folder; apt compares it with the signed index.
    pub(crate) fn download(&self, package: &str, folder: &Path) -> Result<Deb> {
        let record = self.show(package)?;
        let version = record.field("Version")?.to_owned();
        let sha256 = record.field("SHA256")?.to_owned();
        let architecture = record.field("Architecture")?;
        let file = format!("{package}_{}_{architecture}.deb", version.replace(':', "%3a"));
        if crate::digest::of_file(&folder.join(&file)).ok().as_deref() != Some(&*sha256) {
            process::output(self.apt("apt-get").arg("download").arg(package).current_dir(folder))?;
        }
        let found = crate::digest::of_file(&folder.join(&file))?;
        if found != sha256 {
            bail!("{file}: its sha256 is {found}, but the signed index says {sha256}");
        }
        Ok(Deb { package: package.to_owned(), version, sha256, file })
    }
}

/// A package's record in the index.
#[derive(Debug)]
pub(crate) struct Record {
    package: String,
    text: String,
}

impl Record {
    /// One field of one line.
    pub(crate) fn field(&self, name: &str) -> Result<&str> {
        let value = self.text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        Ok(value.with_context(|| format!("package {} has no field {name}", self.package))?.trim())
    }
}

/// Unpacks a package into a folder, without its scripts.
pub(crate) fn unpack(deb: &Path, folder: &Path) -> Result<()> {
    std::fs::create_dir_all(folder)?;
    process::output(Command::new("dpkg-deb").arg("-x").arg(deb).arg(folder)).map(drop)
}
