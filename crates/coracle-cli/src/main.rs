//! The `coracle` command: the service, the VM and containers, from a terminal.
//!
//! Speaks to coracled's API and knows none of the engine's crates. Every verb but `service` starts coracled
//! when it does not run. Flags are docker's where docker has the verb; exit codes are docker's too: 125 for
//! an error of the engine, 126 and 127 for a command that cannot be run, else the container's own.

mod args;
mod command;
mod exit;
mod output;
mod session;
mod signals;
mod terminal;

use clap::{CommandFactory as _, Parser as _};

use args::{Arguments, Images, ImagesAction, Verb};
use exit::Exit;

#[tokio::main(flavor = "current_thread")]
async fn main() -> std::process::ExitCode {
    let arguments = Arguments::parse();
    let json = arguments.json;
    match run(arguments).await {
        Ok(exit) => exit.into(),
        Err(failure) => {
            failure.print(json);
            failure.exit.into()
        }
    }
}

async fn run(arguments: Arguments) -> Result<Exit, exit::Failure> {
    let out = output::Output { json: arguments.json };
    match arguments.verb {
        Verb::Completions { shell } => {
            clap_complete::generate(shell, &mut Arguments::command(), "coracle", &mut std::io::stdout());
            Ok(Exit::OK)
        }
        Verb::Service { action } => command::service::run(action, out).await,
        Verb::Vm { action } => command::vm::run(action, out).await,
        Verb::Status => command::status::run(out).await,
        Verb::Doctor => command::doctor::run(out).await,
        Verb::Settings(settings) => command::settings::run(settings, out).await,
        Verb::SupportBundle { output } => command::support::run(output, out).await,
        Verb::Context { action } => command::context::run(&action, out),
        Verb::Run(run) => command::run::run(run, out).await,
        Verb::Exec(exec) => command::exec::run(exec, out).await,
        Verb::Ps(ps) => command::containers::list(ps, out).await,
        Verb::Logs(logs) => command::containers::logs(logs).await,
        Verb::Isolation { container } => command::isolation::run(&container, out).await,
        Verb::Lab(lab) => command::lab::run(&lab, out).await,
        Verb::Stop(stop) => command::containers::stop(stop, out).await,
        Verb::Rm(rm) => command::containers::remove(rm, out).await,
        Verb::Images(Images { action: Some(action), .. }) => match action {
            ImagesAction::Files(files) => command::browse::files(files, out).await,
            ImagesAction::Cat(cat) => command::browse::cat(cat).await,
            ImagesAction::Layers { image } => command::browse::layers(&image, out).await,
            ImagesAction::Diff(diff) => command::browse::diff(diff, out).await,
            ImagesAction::Fsck(fsck) => command::fsck::run(fsck, out).await,
        },
        Verb::Images(images) => command::images::list(images, out).await,
        Verb::History(history) => command::names::history(history, out).await,
        Verb::Tag { source, target } => command::names::tag(&source, &target).await,
        Verb::Rmi(rmi) => command::names::remove(rmi, out).await,
        Verb::Save(save) => command::archives::save(save).await,
        Verb::Load(load) => command::archives::load(load, out).await,
        Verb::Import(import) => command::archives::import(import, out).await,
        Verb::Login(login) => command::accounts::login(login, out).await,
        Verb::Logout { registry } => command::accounts::logout(registry.as_deref(), out).await,
        Verb::Pull(pull) => command::images::pull(pull, out).await,
        Verb::Push(push) => command::push::run(push, out).await,
        Verb::Search(search) => command::search::run(search, out).await,
    }
}
