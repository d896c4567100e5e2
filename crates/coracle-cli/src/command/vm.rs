//! `coracle vm`.

use std::io::IsTerminal as _;
use std::time::Duration;

use client::{Client, Endpoint, VmStatus};
use indicatif::{ProgressBar, ProgressStyle};

use crate::args::Vm;
use crate::exit::{Exit, Failure};
use crate::output::Output;

pub(crate) async fn run(action: Vm, out: Output) -> Result<Exit, Failure> {
    // Stopping what does not run must not start anything; a VM that an ended service left is still to be had.
    let endpoint = Endpoint::from_env()?;
    if matches!(action, Vm::Stop | Vm::Status) && !endpoint.has_left_vm() {
        match Client::connect(endpoint).await {
            Err(error) if error.is_unreachable() => {
                out.print(&VmStatus::Off, describe)?;
                return Ok(Exit::OK);
            }
            _ => {}
        }
    }
    let client = super::connect().await?;
    let status = match action {
        Vm::Start => with_progress(&client, client.vm_start()).await?,
        Vm::Stop => client.vm_stop().await?,
        Vm::Restart => with_progress(&client, client.vm_restart()).await?,
        Vm::Reprobe => client.vm_reprobe().await?,
        Vm::Status => client.vm_status().await?,
    };
    out.print(&status, describe)?;
    Ok(if matches!(status, VmStatus::Failed { .. }) { Exit::FAILED } else { Exit::OK })
}

/// Waits for a boot and shows its stages, on a terminal.
pub(crate) async fn with_progress<T>(
    client: &Client,
    boot: impl Future<Output = Result<T, client::CallError>>,
) -> Result<T, Failure> {
    let spinner = if std::io::stderr().is_terminal() {
        ProgressBar::new_spinner().with_style(ProgressStyle::default_spinner())
    } else {
        ProgressBar::hidden()
    };
    spinner.enable_steady_tick(Duration::from_millis(100));
    spinner.set_message("VM: starting");
    let watch = async {
        if let Ok(mut states) = client.vm_watch().await {
            while let Ok(Some(state)) = states.next().await {
                spinner.set_message(format!("VM: {}", describe(&state)));
            }
        }
        std::future::pending::<()>().await;
    };
    let done = tokio::select! {
        done = boot => done,
        () = watch => return Err(Failure::new("the VM's state is not told any more")),
    };
    spinner.finish_and_clear();
    Ok(done?)
}

/// One line, or more for a failure.
pub(crate) fn describe(status: &VmStatus) -> String {
    match status {
        VmStatus::Off => "off".into(),
        VmStatus::Booting { stage, .. } if stage.is_empty() => "booting".into(),
        VmStatus::Booting { stage, .. } => format!("booting ({stage})"),
        VmStatus::Running { halted: Some(why), .. } => format!("halted: {why}"),
        VmStatus::Running { boot_ms, accelerator, transport, .. } => {
            let boot = boot_ms.map_or(String::new(), |ms| format!(", booted in {:.1} s", ms as f64 / 1000.0));
            let slow = if accelerator == "tcg" { " (software emulation)" } else { "" };
            format!("running on {accelerator}{slow} over {transport}{boot}")
        }
        VmStatus::Stopping => "stopping".into(),
        VmStatus::Failed { reason, console_tail } => {
            let mut text = format!("failed: {reason}");
            for line in console_tail {
                text.push_str("\n  | ");
                text.push_str(line);
            }
            text
        }
        VmStatus::Unknown => "in a state that this client does not know".into(),
    }
}
