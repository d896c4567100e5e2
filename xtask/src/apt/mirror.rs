//! Which Debian mirror to use: the one a setting names, else the one that this machine's own apt is configured with. No
//! mirror's address stands in this project.

use crate::process;
use anyhow::{Result, bail};
use std::process::Command;

/// The setting that names a mirror.
const SETTING: &str = "CORACLE_DEBIAN_MIRROR";

/// What to tell someone whose mirror cannot be found or read.
pub(crate) const HINT: &str =
    "set CORACLE_DEBIAN_MIRROR to the address of a Debian mirror (its folder that holds dists/ and pool/)";

/// The mirror's address, ending in a slash.
pub(crate) fn find() -> Result<String> {
    if let Some(named) = std::env::var(SETTING).ok().filter(|named| !named.trim().is_empty()) {
        return Ok(with_slash(named.trim()));
    }
    let targets = process::text(Command::new("apt-get").args([
        "indextargets",
        "--format",
        "$(CREATED_BY) $(REPO_URI)",
    ]))?;
    match choose(&targets) {
        Some(mirror) => Ok(mirror),
        None => bail!("this machine's apt sources name no Debian mirror; {HINT}"),
    }
}

/// The first address whose last folder is `debian`: that of the main archive, not of its security updates or of others.
fn choose(targets: &str) -> Option<String> {
    let addresses = targets.lines().filter_map(|line| line.strip_prefix("Packages "));
    addresses.map(with_slash).find(|address| address.ends_with("/debian/"))
}

fn with_slash(address: &str) -> String {
    format!("{}/", address.trim_end_matches('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_the_main_archive() {
        let targets = "Sources x://a/debian/\nPackages x://b/node\nPackages x://c/debian-security/\n\
                       Packages x://d/debian\nPackages x://e/debian/\n";
        assert_eq!(choose(targets).as_deref(), Some("x://d/debian/"));
        assert_eq!(choose("Packages x://b/ubuntu/\n"), None);
    }
}
