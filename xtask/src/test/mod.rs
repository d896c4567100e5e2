//! `cargo xtask test`: everything that decides whether a change is good.
//!
//! Steps run in a fixed order; one that fails does not stop those that do not need it. The last line is
//! `N passed, N failed`, over all test runners; a step that fails without a failed test counts as one.
//!
//! Everything runs with `CORACLE_TEST_RUN` set to a mark of this run, and with a temporary folder of its own. By that mark
//! what is left over is found ([`leftovers`]).

mod leftovers;
mod steps;
mod tally;

use crate::setup::{self, Purpose};
use crate::{frontend, fuzz, tidy, tools, tree::Tree, vm_image};
use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};
use std::process::Command;
use steps::Steps;

/// Carries the run's mark to every process that it starts, however deep.
pub(crate) const MARK: &str = "CORACLE_TEST_RUN";

const E2E: &str = "package(coracle-e2e)";
/// The docker client's scenarios that are run once more with `--runtime vm`. docs/differences.md lists the others, with
/// their reasons.
const OWN_VM: &str = "test(=docker::run_gives_output_and_exit_codes) or test(=docker::stdin_reaches_the_container_and_ends) \
                      or test(=docker::a_container_lives_its_whole_life) or test(=docker::wait_start_attached_and_restart) \
                      or test(=docker::logs_follow_until_the_end) or test(=docker::events_tell_what_happens) \
                      or test(=verbs::changes_export_and_commit) or test(=verbs::files_go_in_and_out) \
                      or test(=verbs::attach_wait_kill_ls_port_rename_rm_and_stop)";

/// Which tests.
#[derive(clap::Args, Clone, Debug, Default)]
pub(crate) struct Options {
    /// Leave out what fuzzes, boots a VM or opens a window
    #[arg(long)]
    fast: bool,
    /// Only end-to-end tests whose name contains this
    #[arg(long, value_name = "NAME")]
    e2e: Option<String>,
}

/// The verb.
pub(crate) fn run(tree: &Tree, options: &Options) -> Result<()> {
    let temporary = tempfile::Builder::new().prefix("coracle-test-").tempdir_in(roomy_folder())?;
    let mark = temporary.path().display().to_string();
    let environment = Environment { tree, mark: mark.clone() };
    let mut steps = Steps::default();
    steps.run("Set-up for the tests", || {
        setup::prepare(tree, &[Purpose::Run, Purpose::Desktop, Purpose::Test, Purpose::Dist])?;
        tools::for_tests(tree)
    });
    if options.e2e.is_none() {
        checks_and_unit_tests(&environment, &mut steps);
    }
    if !options.fast && options.e2e.is_none() {
        steps.run("Fuzzing, shortly", || fuzz::run(tree, &fuzz::Options::short()));
    }
    if !options.fast {
        end_to_end(&environment, &mut steps, options.e2e.as_deref());
    }
    steps.run("Nothing is left running", || leftovers::end_and_report(&mark));
    println!("\n{}", steps.table());
    println!("{}", steps.tally());
    if steps.tally().failed > 0 {
        bail!("not everything passed");
    }
    Ok(())
}

/// Where the tests' files go: on a disk, and with a short path, for the sake of sockets' names (108 bytes, unix(7)).
fn roomy_folder() -> PathBuf {
    let disk = Path::new("/var/tmp");
    if disk.is_dir() { disk.to_owned() } else { std::env::temp_dir() }
}

fn checks_and_unit_tests(environment: &Environment<'_>, steps: &mut Steps) {
    let tree = environment.tree;
    steps.run("Tidy", || tidy::run(tree));
    steps.run("Format", || environment.watch(environment.cargo(&["fmt", "--all", "--check"])));
    // The desktop shell takes the built front end in, so clippy needs it too.
    steps.run("Front end: build", || frontend::build(tree));
    steps.run("Front end: check", || environment.watch(environment.within(frontend::script(tree, "check"))));
    steps.count("Front end: tests", || environment.tests(environment.within(frontend::script(tree, "test"))));
    let clippy = ["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"];
    steps.run("Clippy", || environment.watch(environment.cargo(&clippy)));
    let filter = format!("not {E2E}");
    let nextest = ["nextest", "run", "--workspace", "--no-tests=pass", "-E", &*filter];
    steps.count("Unit and contract tests", || environment.tests(environment.cargo(&nextest)));
}

fn end_to_end(environment: &Environment<'_>, steps: &mut Steps, name: Option<&str>) {
    let tree = environment.tree;
    // Everything at once, as the unit tests have it: other choices of packages mean other features of what they share, and
    // so another build of it.
    let binaries = ["build", "--workspace", "--all-targets"];
    let ready = [
        steps.run("Helper programs", || tools::for_running(tree)),
        steps.run("VM image", || vm_image::build(tree, &vm_image::Options::default()).map(drop)),
        steps.run("The transports' guest", || vm_image::build_contract_guest(tree)),
        steps.run("Front end", || frontend::build(tree)),
        steps.run("Binaries", || environment.watch(environment.cargo(&binaries))),
    ];
    if ready.contains(&false) {
        steps.run("End-to-end tests", || bail!("not run: what they need could not be built"));
        return;
    }
    let filter = match name {
        Some(name) => format!("{E2E} and test({name})"),
        None => E2E.to_owned(),
    };
    let nextest = ["nextest", "run", "--workspace", "-E", &*filter];
    steps.count("End-to-end tests", || environment.tests(environment.cargo(&nextest)));
    if name.is_none() {
        let filter = format!("{E2E} and ({OWN_VM})");
        let mut nextest = environment.cargo(&["nextest", "run", "--workspace", "-E", &*filter]);
        nextest.env("CORACLE_E2E_RUNTIME", "vm");
        steps.count("Containers' scenarios in VMs of their own", || environment.tests(nextest));
    }
}

/// What every program of the run gets.
struct Environment<'a> {
    tree: &'a Tree,
    mark: String,
}

impl Environment<'_> {
    fn cargo(&self, arguments: &[&str]) -> Command {
        let mut cargo = Command::new("cargo");
        cargo.args(arguments).current_dir(self.tree.root());
        self.within(cargo)
    }

    /// Sets the run's mark, its temporary folder, and a PATH with the tools. No service of the user's is met.
    fn within(&self, mut command: Command) -> Command {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let folders = tools::folders(self.tree).into_iter().chain(std::env::split_paths(&path));
        if let Ok(path) = std::env::join_paths(folders) {
            command.env("PATH", path);
        }
        for name in ["CORACLE_HOME", "CORACLE_ASSETS", "CORACLE_LIBEXEC", "DOCKER_HOST", "DOCKER_CONTEXT"] {
            command.env_remove(name);
        }
        command.env(MARK, &self.mark).env("TMPDIR", &self.mark).env("CORACLE_HOME", self.home());
        command
    }

    /// Where a test that names no home of its own would leave its state.
    fn home(&self) -> String {
        format!("{}/home", self.mark)
    }

    /// Runs a program whose output is for the reader.
    fn watch(&self, mut command: Command) -> Result<()> {
        crate::process::visible(&mut command)
    }

    /// Runs a test runner and reads its summary. An exit code other than 0 is a failure even where no test failed.
    fn tests(&self, mut command: Command) -> Result<tally::Tally> {
        let (status, output) = crate::process::watched(&mut command)?;
        let found = tally::read(&output);
        if status.success() {
            return found.context("the test runner printed no summary");
        }
        Ok(found.unwrap_or_default().with_a_failure())
    }
}
