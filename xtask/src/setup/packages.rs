//! The Debian packages that each purpose needs, and how to see that one is there without asking dpkg.

use crate::process;
use std::path::Path;
use std::process::Command;

/// What someone wants to do with the tree.
#[derive(clap::ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Build everything but the desktop app, and run it
    Run,
    /// Build and open the desktop app
    Desktop,
    /// Run the tests
    Test,
    /// Measure
    Bench,
    /// Make a Debian package
    Dist,
}

/// A package and why it is needed.
pub(crate) struct Package {
    /// Debian's name of it.
    pub(crate) name: &'static str,
    /// What needs it.
    pub(crate) purpose: Purpose,
    /// Evidence of it on any system.
    pub(crate) probe: Probe,
}

/// Evidence of a package.
pub(crate) enum Probe {
    /// A program in PATH.
    Program(&'static str),
    /// A library that pkg-config knows.
    Library(&'static str),
    /// A file.
    File(&'static str),
}

impl Probe {
    /// Whether the evidence is there.
    pub(crate) fn holds(&self) -> bool {
        match self {
            Self::Program(name) => process::in_path(name).is_some(),
            Self::Library(name) => {
                let found = Command::new("pkg-config").args(["--exists", name]).status();
                found.is_ok_and(|status| status.success())
            }
            Self::File(path) => Path::new(path).exists(),
        }
    }
}

const fn package(name: &'static str, purpose: Purpose, probe: Probe) -> Package {
    Package { name, purpose, probe }
}

/// All of them but QEMU, which has a minimum version.
pub(crate) const PACKAGES: [Package; 34] = [
    // Linking, and the C libraries of the host's crates and the guest's agent.
    package("gcc", Purpose::Run, Probe::Program("gcc")),
    package("libc6-dev", Purpose::Run, Probe::File("/usr/include/stdio.h")),
    package("pkg-config", Purpose::Run, Probe::Program("pkg-config")),
    package("libssl-dev", Purpose::Run, Probe::Library("openssl")),
    package("libseccomp-dev", Purpose::Run, Probe::Library("libseccomp")),
    // What virtiofsd, which shows the guest folders of the host, links.
    package("libcap-ng-dev", Purpose::Run, Probe::Library("libcap-ng")),
    // Unpacking the guest's kernel and its modules.
    package("zstd", Purpose::Run, Probe::Program("zstd")),
    package("xz-utils", Purpose::Run, Probe::Program("xz")),
    package(
        "debian-archive-keyring",
        Purpose::Run,
        Probe::File("/usr/share/keyrings/debian-archive-keyring.gpg"),
    ),
    package("libwebkit2gtk-4.1-dev", Purpose::Desktop, Probe::Library("webkit2gtk-4.1")),
    package("libayatana-appindicator3-dev", Purpose::Desktop, Probe::Library("ayatana-appindicator3-0.1")),
    package("librsvg2-dev", Purpose::Desktop, Probe::Library("librsvg-2.0")),
    // The real window that the desktop's tests drive.
    package("webkit2gtk-driver", Purpose::Test, Probe::Program("WebKitWebDriver")),
    package("xvfb", Purpose::Test, Probe::Program("Xvfb")),
    // Types into the system's own dialogs, which the driver does not see.
    package("xdotool", Purpose::Test, Probe::Program("xdotool")),
    package("dbus", Purpose::Test, Probe::Program("dbus-run-session")),
    package("dbus-x11", Purpose::Test, Probe::Program("dbus-launch")),
    // Glyphs for the pictures of the Chinese pages.
    package(
        "fonts-wqy-microhei",
        Purpose::Test,
        Probe::File("/usr/share/fonts/truetype/wqy/wqy-microhei.ttc"),
    ),
    package("imagemagick", Purpose::Test, Probe::Program("import")),
    // Images to pull, and the reference that a pull is compared with.
    package("docker-registry", Purpose::Test, Probe::Program("docker-registry")),
    package("skopeo", Purpose::Test, Probe::Program("skopeo")),
    // Another reader and writer of images.
    package("podman", Purpose::Test, Probe::Program("podman")),
    // One of the compressions that archives of images come in.
    package("bzip2", Purpose::Test, Probe::Program("bzip2")),
    package("git", Purpose::Test, Probe::Program("git")),
    // A real Debian root for an image, and a foreign reader of what the layer writer writes.
    package("mmdebstrap", Purpose::Test, Probe::Program("mmdebstrap")),
    package("erofs-utils", Purpose::Test, Probe::Program("fsck.erofs")),
    package("docker-registry", Purpose::Bench, Probe::Program("docker-registry")),
    package("skopeo", Purpose::Bench, Probe::Program("skopeo")),
    package("crun", Purpose::Bench, Probe::Program("crun")),
    package("podman", Purpose::Bench, Probe::Program("podman")),
    package("mmdebstrap", Purpose::Bench, Probe::Program("mmdebstrap")),
    // Clients of published ports, and what leads a reference's packets to a container.
    package("wrk", Purpose::Bench, Probe::Program("wrk")),
    package("nftables", Purpose::Bench, Probe::Program("nft")),
    // dpkg-shlibdeps, which names the libraries that a package depends on.
    package("dpkg-dev", Purpose::Dist, Probe::Program("dpkg-shlibdeps")),
];
