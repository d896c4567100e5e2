//! `cargo xtask bench`: the figures that Coracle promises, each held against a reference of the same run on the same machine.
//!
//! docs/measuring.md says what each row means. Ours and the reference take turns, so that a busy moment of the machine
//! meets both. The exit code says whether the bench ran, not whether the bars were met.

mod boot;
mod containers;
mod desktop;
mod dockerd;
mod files;
mod folders;
mod host;
mod http;
mod images;
mod load;
mod memory;
mod monitor;
mod own_vm;
mod ports;
mod processes;
mod pull;
mod registry;
mod series;
mod wait;
mod window;

use crate::setup::{self, Purpose};
use crate::{frontend, process, progress::step, tools, tree::Tree, vm_image};
use anyhow::{Context, Result, bail};
use host::Host;
use serde_json::{Value, json};
use series::Row;
use std::path::PathBuf;
use std::process::Command;

/// How to measure.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct Options {
    /// How often each row is measured; the table shows medians
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u8).range(1..))]
    rounds: u8,
    /// Also write everything to this file
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Only these rows
    #[arg(long, value_enum, value_name = "ROW")]
    only: Vec<What>,
    /// How long the app is watched for growing memory
    #[arg(long, default_value_t = 10, value_name = "MINUTES")]
    soak_minutes: u64,
    /// Measure the binaries and the VM image that are there, without building them
    #[arg(long)]
    no_build: bool,
}

/// Rows of the table.
#[derive(clap::ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    Boot,
    Run,
    Exec,
    Pull,
    ServiceMemory,
    GuestMemory,
    PortRequests,
    PortConnections,
    PortBytes,
    AgentSize,
    List,
    LogMemory,
    FolderRead,
    FolderWrite,
    FolderFiles,
    PullPodman,
    PullAgain,
    Push,
    Load,
    PeakMemory,
    #[value(name = "images-500")]
    Images500,
    VmStart,
    VmMemory,
    DesktopStart,
    DesktopList,
    DesktopShown,
    DesktopLogs,
    DesktopMemory,
    /// Takes minutes: measured only when it is named
    PullDockerd,
    /// Takes as long as --soak-minutes: measured only when it is named
    DesktopSoak,
}

const OF_THE_DESKTOP: [What; 5] =
    [What::DesktopStart, What::DesktopList, What::DesktopShown, What::DesktopLogs, What::DesktopMemory];

impl Options {
    fn opens_the_desktop(&self) -> bool {
        self.only.contains(&What::DesktopSoak) || OF_THE_DESKTOP.iter().any(|row| self.wants(*row))
    }

    fn wants(&self, what: What) -> bool {
        self.only.is_empty() || self.only.contains(&what)
    }
}

/// The verb.
pub(crate) fn run(tree: &Tree, options: &Options) -> Result<()> {
    if !cfg!(target_os = "linux") {
        bail!("the bench runs on Linux alone: its references are Linux programs");
    }
    prepare(tree, options)?;
    if !options.no_build {
        build(tree, options)?;
    }
    let host = step("Starting coracled", || Host::start(tree))?;
    let rows = measure(tree, &host, options).inspect_err(|_| eprintln!("{}", host.last_words()))?;
    let machine = machine(&host)?;
    step("Stopping coracled and the VM", || {
        drop(host);
        Ok(())
    })?;

    println!("\n{}\n\n{}", series::table(&rows), described(&machine));
    let over: Vec<&str> = rows.iter().filter(|row| !row.is_met()).map(|row| row.id).collect();
    if over.is_empty() {
        println!("All bars are met.");
    } else {
        println!("Over the bar: {}", over.join(", "));
    }
    if let Some(file) = &options.json {
        let rows: Vec<Value> = rows.iter().map(Row::json).collect();
        let all = json!({ "machine": machine, "rounds": options.rounds, "rows": rows });
        std::fs::write(file, serde_json::to_string_pretty(&all)? + "\n")
            .with_context(|| format!("cannot write {}", file.display()))?;
    }
    Ok(())
}

fn prepare(tree: &Tree, options: &Options) -> Result<()> {
    setup::prepare(tree, &[Purpose::Run, Purpose::Bench])?;
    tools::for_running(tree)?;
    if options.opens_the_desktop() {
        setup::prepare(tree, &[Purpose::Desktop, Purpose::Test])?;
        tools::for_tests(tree)?;
    }
    tools::for_bench(tree)
}

fn build(tree: &Tree, options: &Options) -> Result<()> {
    vm_image::build(tree, &vm_image::Options::default())?;
    if options.opens_the_desktop() {
        frontend::build(tree)?;
    }
    step("Building what is measured, optimised", || {
        let mut cargo = Command::new("cargo");
        cargo.args(["build", "--release", "--package", "coracled", "--package", "coracle-cli"]);
        if options.opens_the_desktop() {
            cargo.args(["--package", "coracle-desktop"]);
        }
        process::output(cargo.current_dir(tree.root())).map(drop)
    })
}

fn measure(tree: &Tree, host: &Host, options: &Options) -> Result<Vec<Row>> {
    let rounds = usize::from(options.rounds);
    let mut rows = Vec::new();
    if options.wants(What::Boot) {
        rows.push(boot::row(tree, host, rounds)?);
    } else {
        step("Booting the VM", || host.start_vm().map(drop))?;
    }
    // Before any container has run.
    let guest = options.wants(What::GuestMemory).then(|| memory::guest(host)).transpose()?;
    if options.wants(What::Run) || options.wants(What::Exec) {
        let [run, exec] = containers::rows(tree, host, rounds)?;
        rows.extend(options.wants(What::Run).then_some(run));
        rows.extend(options.wants(What::Exec).then_some(exec));
    }
    if options.wants(What::Pull) {
        rows.push(pull::row(tree, host, rounds)?);
    }
    let of_images = [What::PullPodman, What::PullAgain, What::Push, What::Load, What::PeakMemory];
    if of_images.iter().any(|row| options.wants(*row)) {
        let all = images::rows(tree, host, rounds)?;
        rows.extend(of_images.iter().zip(all).filter(|(what, _)| options.wants(**what)).map(|(_, row)| row));
    }
    if options.only.contains(&What::PullDockerd) {
        rows.push(dockerd::row(tree, host)?);
    }
    if options.wants(What::Images500) {
        rows.push(step("Listing images", || images::list(host))?);
    }
    if options.wants(What::ServiceMemory) {
        rows.push(step("Creating containers", || memory::service(host))?);
    }
    if options.wants(What::List) || options.wants(What::LogMemory) {
        let [list, memory] = step("Listing while a log flows", || load::rows(host))?;
        rows.extend(options.wants(What::List).then_some(list));
        rows.extend(options.wants(What::LogMemory).then_some(memory));
    }
    if [What::FolderRead, What::FolderWrite, What::FolderFiles].iter().any(|row| options.wants(*row)) {
        let [read, write, files] = folders::rows(tree, host, rounds)?;
        rows.extend(options.wants(What::FolderRead).then_some(read));
        rows.extend(options.wants(What::FolderWrite).then_some(write));
        rows.extend(options.wants(What::FolderFiles).then_some(files));
    }
    if [What::PortRequests, What::PortConnections, What::PortBytes].iter().any(|row| options.wants(*row)) {
        let [requests, connections, bytes] = ports::rows(tree, host, rounds)?;
        rows.extend(options.wants(What::PortRequests).then_some(requests));
        rows.extend(options.wants(What::PortConnections).then_some(connections));
        rows.extend(options.wants(What::PortBytes).then_some(bytes));
    }
    if options.wants(What::VmStart) || options.wants(What::VmMemory) {
        let [start, memory] = own_vm::rows(host, rounds)?;
        rows.extend(options.wants(What::VmStart).then_some(start));
        rows.extend(options.wants(What::VmMemory).then_some(memory));
    }
    if OF_THE_DESKTOP.iter().any(|row| options.wants(*row)) {
        let all = step("Using the desktop app", || desktop::rows(tree, host, rounds))?;
        let wanted = OF_THE_DESKTOP.iter().zip(all).filter(|(what, _)| options.wants(**what));
        rows.extend(wanted.map(|(_, row)| row));
    }
    if options.only.contains(&What::DesktopSoak) {
        rows.push(step("Watching the desktop app", || desktop::soak(tree, host, options.soak_minutes))?);
    }
    rows.extend(guest);
    if options.wants(What::AgentSize) {
        rows.push(memory::agent(tree)?);
    }
    Ok(rows)
}

/// What it was measured on.
fn machine(host: &Host) -> Result<Value> {
    let status = host.ask("GET", "/coracle/vm")?;
    let processors = std::thread::available_parallelism()?.get();
    let kernel = process::text(Command::new("uname").arg("-r"))?;
    let date = process::text(Command::new("date").args(["-u", "+%F %H:%M"]))?;
    let qemu = process::text(Command::new("qemu-system-x86_64").arg("--version"))?;
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    Ok(json!({
        "date": date.trim(), "processors": processors, "kernel": kernel.trim(),
        "qemu": qemu.lines().next(), "accelerator": status["accelerator"], "transport": status["transport"],
        "guest_kernel": status["kernel"], "load_at_end": load.split(' ').next(),
    }))
}

fn described(machine: &Value) -> String {
    let text = |name: &str| machine[name].as_str().unwrap_or("?").to_owned();
    format!(
        "{} UTC, {} processors, Linux {}, {}, accelerator {}, transport {}, guest Linux {}; load at the end {}",
        text("date"),
        machine["processors"],
        text("kernel"),
        text("qemu"),
        text("accelerator"),
        text("transport"),
        text("guest_kernel"),
        text("load_at_end")
    )
}
