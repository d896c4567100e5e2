//! `cargo xtask run`: from a fresh checkout to a running container, or to the open desktop app.

use crate::progress::{seconds, step};
use crate::setup::{self, Purpose};
use crate::{digest, frontend, process, tools, tree::Tree, vm_image};
use anyhow::Result;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// How to run.
#[derive(clap::Args, Clone, Debug, Default)]
pub(crate) struct Options {
    /// Do the main job in the terminal, without the desktop app
    #[arg(long)]
    headless: bool,
    /// Build with optimisations
    #[arg(long)]
    release: bool,
}

/// The stages that have run, with their times.
#[derive(Default)]
struct Stages(Vec<(&'static str, Duration)>);

impl Stages {
    fn run<T>(&mut self, name: &'static str, work: impl FnOnce() -> Result<T>) -> Result<T> {
        let since = Instant::now();
        let result = work()?;
        self.0.push((name, since.elapsed()));
        Ok(result)
    }

    fn table(&self) -> String {
        let wide = self.0.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
        let line = |(name, time): &(&str, Duration)| format!("  {name:wide$}  {:>8}\n", seconds(*time));
        self.0.iter().map(line).collect()
    }
}

/// The verb.
pub(crate) fn run(tree: &Tree, options: &Options) -> Result<()> {
    let headless = options.headless || !has_display();
    let purposes: &[Purpose] = if headless { &[Purpose::Run] } else { &[Purpose::Run, Purpose::Desktop] };
    let mut stages = Stages::default();
    stages.run("set-up", || setup::prepare(tree, purposes))?;
    stages.run("helper programs", || tools::for_running(tree))?;
    stages.run("VM image", || vm_image::build(tree, &vm_image::Options::default()))?;
    stages.run("service and CLI", || build(tree, options, &["coracled", "coracle-cli"]))?;
    if headless {
        return in_the_terminal(tree, options, stages);
    }
    stages.run("front end", || frontend::build(tree))?;
    stages.run("desktop app", || build(tree, options, &["coracle-desktop"]))?;
    stages.run("service", || {
        start_service(tree, options)?;
        retire_vm(tree, options)
    })?;
    eprintln!("\n{}\nThe desktop app opens. Close its window to come back here.", stages.table());
    process::visible(&mut Command::new(folder(tree, options).join("coracle-desktop")))
}

fn has_display() -> bool {
    let set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    cfg!(not(target_os = "linux")) || set("DISPLAY") || set("WAYLAND_DISPLAY")
}

fn folder(tree: &Tree, options: &Options) -> PathBuf {
    tree.target(if options.release { "release" } else { "debug" })
}

/// Builds packages of the workspace; cargo itself knows what is fresh.
fn build(tree: &Tree, options: &Options, packages: &[&str]) -> Result<()> {
    step(&format!("Building {}", packages.join(" and ")), || {
        let mut cargo = Command::new("cargo");
        cargo.arg("build").current_dir(tree.root());
        if options.release {
            cargo.arg("--release");
        }
        for package in packages {
            cargo.args(["--package", package]);
        }
        process::output(&mut cargo).map(drop)
    })
}

fn coracle(tree: &Tree, options: &Options, arguments: &[&str]) -> Command {
    let mut command =
        Command::new(folder(tree, options).join(format!("coracle{}", std::env::consts::EXE_SUFFIX)));
    command.args(arguments);
    command
}

/// Starts coracled, afresh where the one that runs was built from older sources. Containers outlive that.
fn start_service(tree: &Tree, options: &Options) -> Result<()> {
    let stamp = tree.target("stamps/service");
    let program = folder(tree, options).join(format!("coracled{}", std::env::consts::EXE_SUFFIX));
    let built = digest::of_file(&program)?;
    // One that no run has started, an installed one or one of before `cargo clean`, is an earlier one too.
    let ours = std::fs::read_to_string(&stamp).is_ok_and(|started| started == built);
    if !ours && process::output(&mut coracle(tree, options, &["service", "status"])).is_ok() {
        step("Stopping the earlier service", || {
            process::output(&mut coracle(tree, options, &["service", "stop"])).map(drop)
        })?;
    }
    step("Starting the service", || {
        process::output(&mut coracle(tree, options, &["service", "start"])).map(drop)
    })?;
    write_stamp(&stamp, &built)
}

/// Stops a VM that runs an earlier image; whatever boots from here on is of this one.
fn retire_vm(tree: &Tree, options: &Options) -> Result<()> {
    let stamp = tree.target("stamps/vm");
    let image = digest::of_file(&tree.target("vm-image/manifest.json"))?;
    if std::fs::read_to_string(&stamp).is_ok_and(|started| started != image) {
        let stopped = step("Stopping the VM with the earlier image", || {
            process::output(&mut coracle(tree, options, &["vm", "stop"])).map(drop)
        });
        // It is down even then; it only went down in disorder.
        if let Err(error) = stopped {
            eprintln!("{error:#}");
        }
    }
    write_stamp(&stamp, &image)
}

/// Boots the VM unless it runs.
fn start_vm(tree: &Tree, options: &Options) -> Result<()> {
    retire_vm(tree, options)?;
    step("Booting the VM", || process::output(&mut coracle(tree, options, &["vm", "start"])).map(drop))
}

fn write_stamp(stamp: &Path, text: &str) -> Result<()> {
    if let Some(folder) = stamp.parent() {
        std::fs::create_dir_all(folder)?;
    }
    Ok(std::fs::write(stamp, text)?)
}

fn in_the_terminal(tree: &Tree, options: &Options, mut stages: Stages) -> Result<()> {
    stages.run("service start", || start_service(tree, options))?;
    stages.run("VM boot", || start_vm(tree, options))?;
    eprintln!("\n$ coracle run --rm coracle/hello");
    stages.run("coracle run --rm coracle/hello", || {
        process::visible(&mut coracle(tree, options, &["run", "--rm", "coracle/hello"]))
    })?;
    let status = process::text(&mut coracle(tree, options, &["status", "--json"])).unwrap_or_default();
    println!("\nTime of each stage:\n{}", stages.table());
    println!("{}", farewell(&folder(tree, options).join("coracle"), socket(&status).as_deref()));
    Ok(())
}

/// The socket's path in the answer of `coracle status --json`.
fn socket(status: &str) -> Option<String> {
    let status: serde_json::Value = serde_json::from_str(status).ok()?;
    Some(status.get("service")?.get("socket")?.as_str()?.to_owned())
}

fn farewell(coracle: &Path, socket: Option<&str>) -> String {
    let coracle = coracle.display();
    let socket = socket.unwrap_or("$HOME/.local/share/coracle/run/docker.sock");
    format!(
        "The service and the VM keep running. To use them with the docker client:\n\
         \n\
         \u{20}   {coracle} context install && docker --context coracle run --rm coracle/hello\n\
         or  export DOCKER_HOST=unix://{socket}\n\
         \n\
         To stop them:\n\
         \n\
         \u{20}   {coracle} vm stop && {coracle} service stop"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_socket_comes_from_the_status() {
        assert_eq!(socket(r#"{"service": {"socket": "/a/b"}}"#).as_deref(), Some("/a/b"));
        assert_eq!(socket(r#"{"service": null}"#), None);
        assert_eq!(socket("no JSON"), None);
    }

    #[test]
    fn the_table_lines_up() {
        let stages =
            Stages(vec![("a", Duration::from_millis(1_250)), ("long name", Duration::from_secs(30))]);
        assert_eq!(stages.table(), "  a             1.2 s\n  long name    30.0 s\n");
    }
}
