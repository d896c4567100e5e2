//! What can be typed.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{ArgAction, Args, Parser, Subcommand};
use clap_complete::Shell;

/// Coracle: a light VM that runs containers, and shows what isolates what.
#[derive(Debug, Parser)]
#[command(version, propagate_version = true, max_term_width = 100)]
pub(crate) struct Arguments {
    /// Print JSON instead of text
    #[arg(long, global = true)]
    pub(crate) json: bool,
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Create a container from an image and start it
    Run(Run),
    /// List containers
    Ps(Ps),
    /// Print what a container wrote
    Logs(Logs),
    /// Run a further command in a running container
    Exec(Exec),
    /// Show what fences a running container off
    Isolation {
        /// Which one
        container: String,
    },
    /// Run an image in a container and in a VM of its own, and show the difference
    Lab(Lab),
    /// Stop containers
    Stop(Stop),
    /// Remove containers
    Rm(Rm),
    /// Download an image
    Pull(Pull),
    /// Upload an image
    Push(Push),
    /// Look for images at Docker Hub or another registry
    Search(Search),
    /// List images, look into them, or check what they have on the disk
    Images(Images),
    /// Show what an image was made of
    History(History),
    /// Give an image a further name
    Tag {
        /// The image
        source: String,
        /// The name, with a tag unless it is `latest`
        target: String,
    },
    /// Remove images
    Rmi(Rmi),
    /// Write images to an archive
    Save(Save),
    /// Read images from an archive
    Load(Load),
    /// Make an image of a file system in a tar file
    Import(Import),
    /// Log in to a registry
    Login(Login),
    /// Log out from a registry
    Logout {
        /// The registry, unless it is Docker Hub
        registry: Option<String>,
    },
    /// Start, stop or look at the virtual machine
    Vm {
        #[command(subcommand)]
        action: Vm,
    },
    /// Everything at one glance
    Status,
    /// Check this machine and say what would help
    Doctor,
    /// Show or change settings
    Settings(Settings),
    /// Gather what helps to answer a question, without secrets, in a file
    SupportBundle {
        /// The file; else one with the time in its name, in the present folder
        #[arg(short, long, value_name = "FILE")]
        output: Option<PathBuf>,
    },
    /// Start, stop or look at the host service
    Service {
        #[command(subcommand)]
        action: Service,
    },
    /// Make docker's own client use Coracle
    Context {
        #[command(subcommand)]
        action: Context,
    },
    /// Print a completion script for a shell
    Completions {
        /// Which shell
        shell: Shell,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Settings {
    /// Which one; all are shown without it
    pub(crate) key: Option<String>,
    /// What it is to be: text, a number, JSON, or a list with commas
    #[arg(requires = "key", conflicts_with = "default")]
    pub(crate) value: Option<String>,
    /// Take it back to its default
    #[arg(long, requires = "key")]
    pub(crate) default: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Run {
    /// Run in the background and print the container's id
    #[arg(short, long)]
    pub(crate) detach: bool,
    /// Keep stdin open
    #[arg(short, long)]
    pub(crate) interactive: bool,
    /// Allocate a pseudo-terminal
    #[arg(short, long)]
    pub(crate) tty: bool,
    /// Remove the container when it exits
    #[arg(long)]
    pub(crate) rm: bool,
    /// A name for the container
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// Set a variable: NAME=VALUE, or NAME to pass this process's own on
    #[arg(short, long, value_name = "VARIABLE")]
    pub(crate) env: Vec<String>,
    /// Working directory inside the container
    #[arg(short, long, value_name = "DIR")]
    pub(crate) workdir: Option<String>,
    /// User name or id, and optionally group: USER[:GROUP]
    #[arg(short, long)]
    pub(crate) user: Option<String>,
    /// Overrides the image's entry point
    #[arg(long, value_name = "PROGRAM")]
    pub(crate) entrypoint: Option<String>,
    /// The container's host name
    #[arg(long)]
    pub(crate) hostname: Option<String>,
    /// Attach a label: KEY[=VALUE]
    #[arg(short, long)]
    pub(crate) label: Vec<String>,
    /// Network: bridge, host or none
    #[arg(long)]
    pub(crate) network: Option<String>,
    /// Restart policy: no, always, unless-stopped or on-failure[:N]
    #[arg(long, default_value = "no")]
    pub(crate) restart: String,
    /// Isolation: container
    #[arg(long)]
    pub(crate) runtime: Option<String>,
    /// Download policy: missing, always or never
    #[arg(long, default_value = "missing", value_parser = ["missing", "always", "never"])]
    pub(crate) pull: String,
    /// The image
    pub(crate) image: String,
    /// The command and its arguments
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub(crate) command: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Ps {
    /// Those that do not run, too
    #[arg(short, long)]
    pub(crate) all: bool,
    /// Print ids only
    #[arg(short, long)]
    pub(crate) quiet: bool,
    /// Keep those that match: KEY=VALUE
    #[arg(short, long, value_name = "KEY=VALUE")]
    pub(crate) filter: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Logs {
    /// Go on with what is written from now on
    #[arg(short, long)]
    pub(crate) follow: bool,
    /// Begin each line with its time
    #[arg(short, long)]
    pub(crate) timestamps: bool,
    /// Only the last lines
    #[arg(short = 'n', long, value_name = "LINES", default_value = "all")]
    pub(crate) tail: String,
    /// The container
    pub(crate) container: String,
}

#[derive(Debug, Args)]
pub(crate) struct Exec {
    /// Run in the background
    #[arg(short, long)]
    pub(crate) detach: bool,
    /// Keep stdin open
    #[arg(short, long)]
    pub(crate) interactive: bool,
    /// Allocate a pseudo-terminal
    #[arg(short, long)]
    pub(crate) tty: bool,
    /// Set a variable: NAME=VALUE
    #[arg(short, long, value_name = "VARIABLE")]
    pub(crate) env: Vec<String>,
    /// Working directory
    #[arg(short, long, value_name = "DIR")]
    pub(crate) workdir: Option<String>,
    /// User name or id, and optionally group
    #[arg(short, long)]
    pub(crate) user: Option<String>,
    /// Give the command all capabilities
    #[arg(long)]
    pub(crate) privileged: bool,
    /// The container
    pub(crate) container: String,
    /// The command and its arguments
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, required = true)]
    pub(crate) command: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Lab {
    /// How often each start is measured, 1 to 20
    #[arg(long, default_value_t = 3)]
    pub(crate) rounds: u32,
    /// The image [default: coracle/hello]
    pub(crate) image: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Stop {
    /// Seconds to wait before killing
    #[arg(short, long, alias = "time", short_alias = 't')]
    pub(crate) timeout: Option<i32>,
    /// The containers
    #[arg(required = true)]
    pub(crate) containers: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Rm {
    /// Kill a running container first
    #[arg(short, long)]
    pub(crate) force: bool,
    /// Remove its anonymous volumes, too
    #[arg(short, long)]
    pub(crate) volumes: bool,
    /// The containers
    #[arg(required = true)]
    pub(crate) containers: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Pull {
    /// Platform, such as linux/amd64
    #[arg(long)]
    pub(crate) platform: Option<String>,
    /// Print nothing but the image's name
    #[arg(short, long)]
    pub(crate) quiet: bool,
    /// The image
    pub(crate) image: String,
}

#[derive(Debug, Args)]
pub(crate) struct Push {
    /// All tags of the repository
    #[arg(short, long)]
    pub(crate) all_tags: bool,
    /// Print nothing but the image's name
    #[arg(short, long)]
    pub(crate) quiet: bool,
    /// The image
    pub(crate) image: String,
}

#[derive(Debug, Args)]
pub(crate) struct Search {
    /// Keep those that match: is-official=true, stars=N
    #[arg(short, long, value_name = "KEY=VALUE")]
    pub(crate) filter: Vec<String>,
    /// At most so many, 1 to 100
    #[arg(long)]
    pub(crate) limit: Option<i32>,
    /// Words, with a registry in front unless it is Docker Hub
    pub(crate) term: String,
}

#[derive(Debug, Args)]
pub(crate) struct History {
    /// Cut nothing off
    #[arg(long)]
    pub(crate) no_trunc: bool,
    /// Print ids only
    #[arg(short, long)]
    pub(crate) quiet: bool,
    /// Sizes with units and times as ages
    #[arg(
        short = 'H',
        long,
        default_value_t = true,
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "true",
        action = ArgAction::Set
    )]
    pub(crate) human: bool,
    /// The image
    pub(crate) image: String,
}

#[derive(Debug, Args)]
pub(crate) struct Rmi {
    /// Though containers use it or it has several names
    #[arg(short, long)]
    pub(crate) force: bool,
    /// Keep nameless parents
    #[arg(long)]
    pub(crate) no_prune: bool,
    /// The images
    #[arg(required = true)]
    pub(crate) images: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Save {
    /// Write to this file instead of stdout
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    /// The images
    #[arg(required = true)]
    pub(crate) images: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Load {
    /// Read from this file instead of stdin
    #[arg(short, long, value_name = "FILE")]
    pub(crate) input: Option<PathBuf>,
    /// Print no progress
    #[arg(short, long)]
    pub(crate) quiet: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Import {
    /// Apply an instruction of a Dockerfile to the image
    #[arg(short, long, value_name = "INSTRUCTION")]
    pub(crate) change: Vec<String>,
    /// A comment for the image's history
    #[arg(short, long)]
    pub(crate) message: Option<String>,
    /// The image's platform, such as linux/arm64
    #[arg(long)]
    pub(crate) platform: Option<String>,
    /// A file, an http or https URL, or - for stdin
    pub(crate) source: String,
    /// A name for the image
    pub(crate) reference: Option<String>,
}

/// There is no flag with the password itself: others could read it in the list of processes.
#[derive(Debug, Args)]
pub(crate) struct Login {
    /// User name; asked for when missing
    #[arg(short, long)]
    pub(crate) username: Option<String>,
    /// Read the password, or a token, from stdin instead of asking for it
    #[arg(long, requires = "username")]
    pub(crate) password_stdin: bool,
    /// The registry, unless it is Docker Hub
    pub(crate) registry: Option<String>,
}

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Images {
    /// Print ids only
    #[arg(short, long)]
    pub(crate) quiet: bool,
    #[command(subcommand)]
    pub(crate) action: Option<ImagesAction>,
}

#[derive(Debug, Clone, Subcommand)]
pub(crate) enum ImagesAction {
    /// List a directory of an image
    Files(ImageFiles),
    /// Print a file of an image
    Cat(ImageCat),
    /// What each layer holds, and what later layers hide
    Layers {
        /// The image
        image: String,
    },
    /// What two images differ in
    Diff(ImageDiff),
    /// Check database, blobs and layers against each other; exits with 1 when there are problems
    Fsck(Fsck),
}

#[derive(Debug, Clone, Args)]
pub(crate) struct ImageFiles {
    /// One layer alone, counted from 0, the lowest; what it deletes is shown
    #[arg(long, value_name = "N")]
    pub(crate) layer: Option<usize>,
    /// The image
    pub(crate) image: String,
    /// A directory, or a file
    #[arg(default_value = "/")]
    pub(crate) path: OsString,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct ImageCat {
    /// One layer alone, counted from 0, the lowest
    #[arg(long, value_name = "N")]
    pub(crate) layer: Option<usize>,
    /// As a tar: a folder with all that is in it, too
    #[arg(long)]
    pub(crate) tar: bool,
    /// The image
    pub(crate) image: String,
    /// The file
    pub(crate) path: OsString,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct ImageDiff {
    /// The image before
    pub(crate) a: String,
    /// The image after
    pub(crate) b: String,
}

#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct Fsck {
    /// Repair what can be; no image is ever removed
    #[arg(long)]
    pub(crate) repair: bool,
    /// Read every blob and every layer, too
    #[arg(long)]
    pub(crate) deep: bool,
}

#[derive(Debug, Clone, Copy, Subcommand)]
pub(crate) enum Vm {
    /// Boot it
    Start,
    /// Stop containers and power off
    Stop,
    /// Stop and boot
    Restart,
    /// Its state
    Status,
    /// Forget which accelerators do not work and try them again at the next start
    Reprobe,
}

#[derive(Debug, Clone, Copy, Subcommand)]
pub(crate) enum Service {
    /// Start coracled in the background
    Start,
    /// Stop coracled; containers go on
    Stop {
        /// Stop the VM and its containers, too
        #[arg(long)]
        vm: bool,
    },
    /// Whether it runs
    Status,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Context {
    /// Write the docker context "coracle"
    Install,
    /// Remove it
    Remove,
    /// Print what DOCKER_HOST would have to be
    Show,
}
