//! Boots a VM by hand, without the service: `boot HOME ASSETS LIBEXEC [verb…]`.
//!
//! Verbs, one after the other: `start`, `stop`, `restart`, `info`, `reprobe`, `doctor`, `follow SECONDS` (prints every
//! change of state for so long), `leave` (ends at once, as a crash would, and leaves the VM running).
//! `CORACLE_COPIES=1`: 256 MiB and one processor, and from the second start on as a copy of a saved guest.
//! `CORACLE_TRANSPORT` and `CORACLE_ACCELERATOR` choose; `RUST_LOG` as usual.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use vmm::{Choice, Vm, VmConfig};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    tracing_subscriber::fmt().with_env_filter(tracing_subscriber::EnvFilter::from_default_env()).init();
    let mut arguments = std::env::args().skip(1);
    let mut folder = |name| arguments.next().map(PathBuf::from).context(name);
    let (home, assets, libexec) = (folder("HOME")?, folder("ASSETS")?, folder("LIBEXEC")?);
    let mut config = VmConfig::below(&home, assets, libexec);
    config.transport = choice("CORACLE_TRANSPORT")?;
    config.accelerator = choice("CORACLE_ACCELERATOR")?;
    if std::env::var_os("CORACLE_COPIES").is_some() {
        let templates = vmm::Templates::new(home.join("run/templates"));
        (config.memory_mib, config.cpus) = (256, 1);
        (config.transport, config.templates) =
            (Choice::Named(transport::Kind::Serial), Some(Arc::new(templates)));
    }
    let vm = Vm::new(config);

    let began = Instant::now();
    let mut states = vm.subscribe();
    tokio::spawn(async move {
        loop {
            let state = states.borrow_and_update().clone();
            println!(
                "{:>8.3} s  {}",
                began.elapsed().as_secs_f64(),
                serde_json::to_string(&state).unwrap_or_default()
            );
            if states.changed().await.is_err() {
                return;
            }
        }
    });

    let mut verbs: Vec<String> = arguments.collect();
    if verbs.is_empty() {
        verbs = ["start", "info", "stop"].map(str::to_owned).to_vec();
    }
    let mut verbs = verbs.into_iter();
    while let Some(verb) = verbs.next() {
        let since = Instant::now();
        match verb.as_str() {
            "start" => vm.start().await?,
            "stop" => vm.stop().await?,
            "restart" => vm.restart().await?,
            "reprobe" => vm.reprobe().await,
            "doctor" => println!("{}", serde_json::to_string_pretty(&vm.doctor())?),
            "info" => {
                let agent = vm.ensure_running().await?;
                let info = agent.grpc().info(agent_proto::v1::InfoRequest {}).await?;
                println!("{:?}", info.into_inner());
            }
            "follow" => {
                let seconds = verbs.next().context("follow SECONDS")?.parse()?;
                tokio::time::sleep(Duration::from_secs(seconds)).await;
            }
            "leave" => std::process::exit(0),
            other => bail!("unknown verb {other:?}"),
        }
        println!(
            "{:>8.3} s  {verb} took {:.3} s",
            began.elapsed().as_secs_f64(),
            since.elapsed().as_secs_f64()
        );
    }
    Ok(())
}

fn choice<T: serde::de::DeserializeOwned>(variable: &str) -> anyhow::Result<Choice<T>> {
    match std::env::var(variable) {
        Ok(name) => Ok(Choice::Named(serde_json::from_value(name.into())?)),
        Err(_) => Ok(Choice::Auto),
    }
}
