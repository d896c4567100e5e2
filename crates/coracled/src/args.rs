//! The command line.

use std::path::PathBuf;

use clap::Parser;

/// Coracle's host service: Docker's Engine API in front of a small VM.
#[derive(Debug, Parser)]
#[command(version)]
pub(crate) struct Args {
    /// State folder [default: coracle in the platform's data folder]
    #[arg(long, env = "CORACLE_HOME", value_name = "FOLDER")]
    pub(crate) home: Option<PathBuf>,
    /// Folder of the VM image [default: ../share/coracle/vm-image beside the program]
    #[arg(long, env = "CORACLE_ASSETS", value_name = "FOLDER")]
    pub(crate) assets: Option<PathBuf>,
    /// Folder of the helper programs [default: ../libexec/coracle beside the program]
    #[arg(long, env = "CORACLE_LIBEXEC", value_name = "FOLDER")]
    pub(crate) libexec: Option<PathBuf>,
    /// Settings file [default: settings.json in the state folder]
    #[arg(long, env = "CORACLE_SETTINGS", value_name = "FILE")]
    pub(crate) settings: Option<PathBuf>,
    /// What is logged, such as "info" or "info,engine=debug" [default: the settings file's]
    #[arg(long, env = "CORACLE_LOG", value_name = "FILTER")]
    pub(crate) log: Option<String>,
}
