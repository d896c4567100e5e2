//! `cargo xtask dist`: a Debian package of the whole of Coracle.
//!
//! ```text
//! release builds ┐
//! helper programs├─► tree (contents) ─► control file (control) ─► dpkg-deb ─► target/dist/coracle_VERSION_amd64.deb
//! VM image       ┘
//! ```
//!
//! What stands in the package as it is lies in `packaging/`. Debian's own programs do what they are made for:
//! `dpkg-shlibdeps` names the libraries, `dpkg-deb` packs. The same binaries of the same commit give the same bytes:
//! names are sorted, owners are root, and no time is later than the commit's.

mod contents;
mod control;
mod package;

use crate::setup::{self, Purpose};
use crate::{digest, frontend, process, progress::step, tools, tree::Tree, vm_image};
use anyhow::{Context, Result, bail};
use contents::Contents;
use package::Squeeze;
use std::path::{Path, PathBuf};
use std::process::Command;

const VERSION: &str = env!("CARGO_PKG_VERSION");
/// The programs that a person calls, and the packages that make them.
const PROGRAMS: [(&str, &str); 3] =
    [("coracled", "coracled"), ("coracle", "coracle-cli"), ("coracle-desktop", "coracle-desktop")];

/// How to make the package.
#[derive(clap::Args, Clone, Debug, Default)]
pub(crate) struct Options {
    /// Of debug builds, and packed loosely: made in a fraction of the time, for tests
    #[arg(long)]
    debug: bool,
    /// Pack the programs and the VM image that are there, without building them
    #[arg(long)]
    no_build: bool,
    /// Where the package goes [default: target/dist]
    #[arg(long, value_name = "FOLDER")]
    out: Option<PathBuf>,
}

/// The verb.
pub(crate) fn run(tree: &Tree, options: &Options) -> Result<()> {
    if !cfg!(all(target_os = "linux", target_arch = "x86_64")) {
        bail!("a package is only made on Linux on x86_64, for which its programs are built");
    }
    setup::prepare(tree, &[Purpose::Run, Purpose::Desktop, Purpose::Dist])?;
    if !options.no_build {
        tools::for_running(tree)?;
        vm_image::build(tree, &vm_image::Options::default())?;
        frontend::build(tree)?;
        step("Building the programs", || build(tree, options))?;
    }
    let deb = step("Packing", || pack(tree, options, &tree.target("vm-image")))?;
    println!("{}\nsha256 {}", deb.display(), digest::of_file(&deb)?);
    Ok(())
}

fn build(tree: &Tree, options: &Options) -> Result<()> {
    let mut cargo = Command::new("cargo");
    cargo.arg("build").current_dir(tree.root());
    for (_, package) in PROGRAMS {
        cargo.args(["--package", package]);
    }
    if !options.debug {
        cargo.arg("--release");
        without_paths_of_this_machine(tree, &mut cargo);
    }
    process::output(&mut cargo).map(drop)
}

/// Panic messages hold paths of sources: they must not say where a package was made.
fn without_paths_of_this_machine(tree: &Tree, cargo: &mut Command) {
    let mut flags = vec![format!("--remap-path-prefix={}=coracle", tree.root().display())];
    if let Some(home) = vm_image::cargo_home() {
        flags.push(format!("--remap-path-prefix={}=cargo", home.display()));
    }
    cargo.env_remove("RUSTFLAGS").env("CARGO_ENCODED_RUSTFLAGS", flags.join("\u{1f}"));
}

fn pack(tree: &Tree, options: &Options, image: &Path) -> Result<PathBuf> {
    let out = options.out.clone().unwrap_or_else(|| tree.target("dist"));
    std::fs::create_dir_all(&out).with_context(|| format!("cannot make the folder {}", out.display()))?;
    // Beside the package, which is moved into place whole.
    let work = tempfile::Builder::new().prefix(".work-").tempdir_in(&out)?;
    let root = work.path().join("root");
    let contents = Contents::of(tree, &tree.target(if options.debug { "debug" } else { "release" }), image)?;
    contents.lay_out(&root)?;
    let fields = control::Fields {
        version: VERSION,
        installed_kib: package::size_bytes(&root)?.div_ceil(1024),
        libraries: &control::libraries(&root, &contents.programs(), work.path())?,
    };
    let template = std::fs::read_to_string(tree.source("packaging/control"))?;
    let deb = package::build(&root, &fields.fill(&template)?, epoch(tree)?, squeeze(options), work.path())?;
    let place = out.join(format!("coracle_{VERSION}_amd64.deb"));
    std::fs::rename(&deb, &place).with_context(|| format!("cannot put {} in its place", place.display()))?;
    eprint!("{}", sizes(&contents, &root, &place)?);
    Ok(place)
}

fn squeeze(options: &Options) -> Squeeze {
    if options.debug { Squeeze::Quickly } else { Squeeze::Well }
}

/// The time of all that is in the package, in seconds: the commit's, unless `SOURCE_DATE_EPOCH` names another.
fn epoch(tree: &Tree) -> Result<u64> {
    let text = match std::env::var("SOURCE_DATE_EPOCH") {
        Ok(given) => given,
        Err(_) => {
            let mut git = Command::new("git");
            process::text(git.args(["log", "-1", "--format=%ct"]).current_dir(tree.root()))
                .context("the package's time is the commit's; without git, set SOURCE_DATE_EPOCH")?
        }
    };
    text.trim().parse().with_context(|| format!("SOURCE_DATE_EPOCH {text:?} is not a number of seconds"))
}

/// A line for each file that is worth one, and the package's own.
fn sizes(contents: &Contents, root: &Path, deb: &Path) -> Result<String> {
    const WORTH_A_LINE_BYTES: u64 = 1 << 20;
    let mut lines = Vec::new();
    for path in contents.paths() {
        let bytes = root.join(path).metadata()?.len();
        if bytes >= WORTH_A_LINE_BYTES {
            lines.push((format!("/{path}"), bytes));
        }
    }
    lines.sort_by_key(|(_, bytes)| std::cmp::Reverse(*bytes));
    lines.push(("installed".to_owned(), package::size_bytes(root)?));
    lines.push(("the package".to_owned(), deb.metadata()?.len()));
    let wide = lines.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    #[allow(clippy::cast_precision_loss, reason = "for people, to a tenth of a MB")]
    let line = |(name, bytes): &(String, u64)| format!("  {name:wide$}  {:7.1} MB\n", *bytes as f64 / 1e6);
    Ok(lines.iter().map(line).collect())
}
