//! `cargo xtask fuzz`: the targets of `fuzz/` under libFuzzer and the address sanitizer.
//!
//! A cold build takes some minutes, because the sanitizer's instrumentation goes through every crate. `cargo xtask test` runs
//! each target shortly and always with the same seed, so that a change is judged by itself and not by luck; what is rare is found by
//! running it longer, by hand. The unit tests, besides, run every target's body on changes of its beginnings.

use crate::{process, progress::step, tools, tree::Tree};
use anyhow::{Context, Result, bail};
use std::process::Command;

/// What to fuzz.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct Options {
    /// For each target
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// Repeat a run; a new one each time unless given
    #[arg(long)]
    seed: Option<u32>,
    /// These targets; all of them unless named
    #[arg(value_name = "TARGET")]
    targets: Vec<String>,
}

impl Options {
    /// Enough to meet what a change broke; not enough to find what is rare.
    pub(crate) fn short() -> Self {
        Self { seconds: 10, seed: Some(1), targets: Vec::new() }
    }
}

/// The verb.
pub(crate) fn run(tree: &Tree, options: &Options) -> Result<()> {
    tools::for_fuzzing(tree)?;
    let known = targets(tree)?;
    if let Some(unknown) = options.targets.iter().find(|name| !known.contains(name)) {
        bail!("there is no target {unknown:?}; there are {}", known.join(", "));
    }
    let chosen = if options.targets.is_empty() { &known } else { &options.targets };
    step("Building the fuzz targets", || process::output(cargo_fuzz(tree, "build").arg("-O")).map(drop))?;
    for name in chosen {
        println!("\n== {name}");
        fuzz(tree, name, options)?;
    }
    Ok(())
}

fn fuzz(tree: &Tree, name: &str, options: &Options) -> Result<()> {
    let corpus = tree.target("fuzz-corpus").join(name);
    let (seeds, found) = (corpus.join("seeds"), corpus.join("found"));
    let finds = tree.target("fuzz-finds").join(name);
    for folder in [&seeds, &found, &finds] {
        std::fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
    }
    let mut command = cargo_fuzz(tree, "run");
    command.args(["-O", name]).args([&found, &seeds]).arg("--");
    command.arg(format!("-max_total_time={}", options.seconds));
    command.args(options.seed.map(|seed| format!("-seed={seed}")));
    command.arg(format!("-artifact_prefix={}/", finds.display()));
    command.args([
        "-print_final_stats=1",
        "-timeout=20",
        "-rss_limit_mb=2048",
        "-max_len=262144",
        "-verbosity=0",
    ]);
    command.env("CORACLE_FUZZ_SEEDS", &seeds);
    process::visible(&mut command).with_context(|| format!("what broke {name} is in {}", finds.display()))
}

/// The fuzzer's compiler flags are unstable ones; the stable toolchain knows them under this variable.
fn cargo_fuzz(tree: &Tree, verb: &str) -> Command {
    let mut command = Command::new(tree.target("tools/bin/cargo-fuzz"));
    command.args(["fuzz", verb, "--target-dir"]).arg(tree.target("fuzz"));
    command.current_dir(tree.source("fuzz")).env("RUSTC_BOOTSTRAP", "1").env("CARGO", "cargo");
    command
}

/// The names of the programs in `fuzz/Cargo.toml`.
fn targets(tree: &Tree) -> Result<Vec<String>> {
    let path = tree.source("fuzz/Cargo.toml");
    let text = std::fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
    Ok(names(&text.parse().with_context(|| format!("reading {}", path.display()))?))
}

fn names(manifest: &toml::Table) -> Vec<String> {
    let programs = manifest.get("bin").and_then(toml::Value::as_array).into_iter().flatten();
    programs.filter_map(|program| Some(program.get("name")?.as_str()?.to_owned())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_targets() {
        let manifest = "[package]\nname = \"x\"\n[[bin]]\nname = \"a\"\n[[bin]]\nname = \"b\"\n";
        assert_eq!(names(&manifest.parse().unwrap()), ["a", "b"]);
    }
}
