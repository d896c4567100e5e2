//! The control file: a template with blanks, and the libraries that the programs load.

use crate::process;
use anyhow::{Context, Result, bail};
use std::path::Path;
use std::process::Command;

/// What the template's blanks stand for.
pub(super) struct Fields<'a> {
    /// Of Coracle.
    pub(super) version: &'a str,
    /// What the files take when installed.
    pub(super) installed_kib: u64,
    /// Packages with the programs' libraries.
    pub(super) libraries: &'a str,
}

impl Fields<'_> {
    /// The control file.
    pub(super) fn fill(&self, template: &str) -> Result<String> {
        let text = template
            .replace("@version@", self.version)
            .replace("@installed_kib@", &self.installed_kib.to_string())
            .replace("@libraries@", self.libraries);
        if let Some(line) = text.lines().find(|line| line.contains('@') && !line.starts_with("Maintainer:")) {
            bail!("packaging/control has a blank that nothing fills: {line}");
        }
        Ok(text)
    }
}

/// The Debian packages, with versions, of the libraries that these programs are linked with.
pub(super) fn libraries(root: &Path, programs: &[&str], work: &Path) -> Result<String> {
    // It wants to be inside of a source package.
    let source = work.join("source");
    std::fs::create_dir_all(source.join("debian"))?;
    std::fs::write(
        source.join("debian/control"),
        "Source: coracle\n\nPackage: coracle\nArchitecture: any\n",
    )?;
    let mut command = Command::new("dpkg-shlibdeps");
    command.arg("-O").current_dir(&source);
    for program in programs {
        command.arg("-e").arg(root.join(program));
    }
    depends(&process::text(&mut command)?)
}

/// `shlibs:Depends=libc6 (>= 2.36), …` without its name.
fn depends(substitutions: &str) -> Result<String> {
    let found = substitutions.lines().find_map(|line| line.strip_prefix("shlibs:Depends="));
    Ok(found.context("dpkg-shlibdeps named no library at all")?.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blanks_are_filled_and_none_is_left() {
        let fields = Fields { version: "1.2.3", installed_kib: 77, libraries: "libc6 (>= 2.36)" };
        let template = include_str!("../../../packaging/control");
        let text = fields.fill(template).unwrap();
        assert!(text.contains("\nVersion: 1.2.3\n") && text.contains("\nInstalled-Size: 77\n"), "{text}");
        assert!(text.contains("\nDepends: libc6 (>= 2.36), "), "{text}");
        assert!(fields.fill("Homepage: @home@\n").is_err());
    }

    #[test]
    fn reads_what_dpkg_shlibdeps_says() {
        let text = "shlibs:Depends=libc6 (>= 2.36), libssl3 (>= 3.0.0)\nshlibs:Pre-Depends=x\n";
        assert_eq!(depends(text).unwrap(), "libc6 (>= 2.36), libssl3 (>= 3.0.0)");
        assert!(depends("").is_err());
    }
}
