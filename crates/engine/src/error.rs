//! What goes wrong, in Docker Engine's words: clients print these texts, and some read them.

use types::DigestError;

/// What sort of failure it is; `engine-api` turns it into an HTTP status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// 400
    InvalidParameter,
    /// 401
    Unauthorized,
    /// 404
    NotFound,
    /// 403
    Forbidden,
    /// 409
    Conflict,
    /// 304
    NotModified,
    /// 501
    NotImplemented,
    /// 500
    System,
    /// 503
    Unavailable,
}

/// Why an operation failed.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No container of that name or id.
    #[error("No such container: {0}")]
    NoSuchContainer(String),
    /// An id prefix that fits several.
    #[error("multiple IDs found with provided prefix: {0}")]
    Ambiguous(String),
    /// No image of that name or id.
    #[error("No such image: {0}")]
    NoSuchImage(String),
    /// No exec of that id.
    #[error("No such exec instance: {0}")]
    NoSuchExec(String),
    /// An argument that cannot be understood.
    #[error("{0}")]
    Invalid(Invalid),
    /// Something that Docker can do and Coracle cannot yet.
    #[error("{field} is not supported by Coracle yet{}", detail(.given))]
    Unsupported {
        /// The API's field.
        field: &'static str,
        /// What was asked for.
        given: String,
    },
    /// The name is taken.
    #[error(
        "Conflict. The container name \"/{name}\" is already in use by container \"{holder}\". \
         You have to remove (or rename) that container to be able to reuse that name."
    )]
    NameInUse {
        /// Without its slash.
        name: String,
        /// The id of who has it.
        holder: String,
    },
    /// The new name is the old one.
    #[error("Renaming a container with the same name as its current name")]
    SameName,
    /// Not in the state that the operation needs.
    #[error("{0}")]
    State(StateConflict),
    /// Already as asked for.
    #[error("Container {0} is already {1}")]
    NotModified(String, &'static str),
    /// An image that containers use, or with several names.
    #[error("{0}")]
    ImageConflict(String),
    /// The process could not be started.
    #[error("{0}")]
    Start(StartFailure),
    /// The VM is off and is not started for this.
    #[error("the VM is off: {0}. Start it with `coracle vm start`")]
    VmOff(&'static str),
    /// The VM stands still at present; why, and what helps.
    #[error("the VM is halted: {0}")]
    VmHalted(String),
    /// The VM did not come up.
    #[error(transparent)]
    Machine(#[from] crate::MachineError),
    /// The agent did not do it, for a reason that Docker has no word for.
    #[error("{doing}: the VM's agent answered: {message}")]
    Agent {
        /// What was under way.
        doing: &'static str,
        /// The agent's text.
        message: String,
    },
    /// A byte stream to the VM could not be opened.
    #[error("{doing}: {message}")]
    Stream {
        /// What was under way.
        doing: &'static str,
        /// Why.
        message: String,
    },
    /// The agent did not answer in time.
    #[error("{doing}: the VM's agent did not answer within {seconds} s")]
    Deadline {
        /// What was under way.
        doing: &'static str,
        /// How long it was given.
        seconds: u64,
    },
    /// The container did not end, even after SIGKILL.
    #[error("cannot stop container: {0}: tried to kill container, but did not receive an exit event")]
    Unkillable(String),
    /// The log driver keeps nothing.
    #[error("configured logging driver does not support reading")]
    LogsUnreadable,
    /// A port cannot be published.
    #[error(transparent)]
    Ports(#[from] crate::ports::PortError),
    /// The database did not take a change.
    #[error(transparent)]
    Database(#[from] crate::db::DbError),
    /// The image store failed.
    #[error(transparent)]
    Images(std::sync::Arc<ImagesError>),
    /// A mount that cannot be.
    #[error("{0}")]
    Mount(#[from] crate::mounts::MountError),
    /// A network or an endpoint.
    #[error(transparent)]
    Network(#[from] crate::network::NetworkError),
    /// A volume.
    #[error(transparent)]
    Volume(#[from] crate::volume::VolumeError),
    /// A folder of the host that cannot be mounted.
    #[error(transparent)]
    Share(#[from] crate::shares::Error),
    /// The Lab.
    #[error(transparent)]
    Lab(#[from] crate::lab::LabError),
    /// One of the operations beside a container's life.
    #[error(transparent)]
    Refused(#[from] crate::verbs::Refusal),
    /// The engine is shutting down.
    #[error("the service is shutting down")]
    ShuttingDown,
}

/// What of the image store can come through here.
#[derive(Debug, thiserror::Error)]
pub enum ImagesError {
    /// From a lookup.
    #[error(transparent)]
    Lookup(images::LookupError),
    /// From a pull.
    #[error(transparent)]
    Pull(images::PullError),
    /// From a removal.
    #[error(transparent)]
    Remove(images::RemoveError),
    /// From a tagging.
    #[error(transparent)]
    Tag(images::TagError),
    /// From a load.
    #[error(transparent)]
    Load(images::LoadError),
    /// From a save.
    #[error(transparent)]
    Save(images::SaveError),
    /// From an import.
    #[error(transparent)]
    Import(images::CommitError),
    /// From a push.
    #[error(transparent)]
    Push(images::PushError),
    /// From a look at a registry.
    #[error(transparent)]
    Distribution(images::DistributionError),
    /// From a search.
    #[error(transparent)]
    Search(images::SearchError),
    /// From a check.
    #[error(transparent)]
    Fsck(images::fsck::FsckError),
}

/// An argument that cannot be understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Invalid {
    /// Against `[a-zA-Z0-9][a-zA-Z0-9_.-]+`.
    #[error("Invalid container name ({0}), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed")]
    Name(String),
    /// A rename to nothing.
    #[error("Neither old nor new names may be empty")]
    EmptyName,
    /// Neither image nor request says what to run.
    #[error("no command specified")]
    NoCommand,
    /// An exec of nothing.
    #[error("No exec command specified")]
    NoExecCommand,
    /// No image named.
    #[error("no image specified")]
    NoImage,
    /// A signal's name or number.
    #[error("invalid signal: {0}")]
    Signal(String),
    /// A filter that Docker does not know.
    #[error("invalid filter '{0}'")]
    Filter(String),
    /// A filter's value.
    #[error("invalid filter '{filter}={value}'")]
    FilterValue {
        /// Which.
        filter: String,
        /// What it was given.
        value: String,
    },
    /// Options that exclude each other, or that nobody has: the whole text.
    #[error("{0}")]
    Conflicting(&'static str),
    /// A namespace that is neither of its own, the VM's nor another container's.
    #[error("invalid {what} mode: {given}")]
    Mode {
        /// IPC, PID, UTS or userns.
        what: &'static str,
        /// What was asked for.
        given: String,
    },
    /// Windows's.
    #[error("invalid isolation ({0}): linux only supports 'default'")]
    Isolation(String),
    /// A container's own network.
    #[error("cannot join own network")]
    JoinSelf,
    /// Its IPC namespace is private.
    #[error("container {0}: non-shareable IPC (hint: use IpcMode:shareable for the donor container)")]
    NotShareable(String),
    /// What would reach out of a container's own VM.
    #[error("a container with a VM of its own (runtime vm) cannot {0}")]
    OwnVm(String),
    /// Neither ours nor an alias.
    #[error("unknown or invalid runtime name: {0}")]
    Runtime(String),
    /// Of those that we do not have.
    #[error("logger: no log driver named '{0}' is registered")]
    LogDriver(String),
    /// One that the driver does not have.
    #[error("unknown log opt '{name}' for {driver} log driver")]
    LogOption {
        /// Which.
        name: String,
        /// Whose.
        driver: String,
    },
    /// A profile that cannot be read.
    #[error("Decoding seccomp profile failed: {0}")]
    Seccomp(String),
    /// Of devices.
    #[error("invalid device cgroup rule format: '{0}'")]
    DeviceRule(String),
    /// A device driver, as for GPUs.
    #[error("could not select device driver \"{driver}\" with capabilities: {capabilities}")]
    DeviceDriver {
        /// Which.
        driver: String,
        /// As Go prints lists.
        capabilities: String,
    },
    /// Any other field.
    #[error("invalid {field}: {given}: {why}")]
    Field {
        /// The API's field.
        field: &'static str,
        /// What it was given.
        given: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// An image reference.
    #[error("{0}")]
    Reference(#[from] types::ReferenceError),
    /// A digest.
    #[error("{0}")]
    Digest(#[from] DigestError),
}

/// Not in the state that the operation needs; `name` is as the caller wrote it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StateConflict {
    /// For exec, resize, pause.
    #[error("container {0} is not running")]
    NotRunning(String),
    /// For a start in its network.
    #[error("cannot join network of a non running container: {0}")]
    JoinNotRunning(String),
    /// For kill.
    #[error("cannot kill container: {name}: container {id} is not running")]
    KillNotRunning {
        /// As the caller wrote it.
        name: String,
        /// The id.
        id: String,
    },
    /// For exec and start.
    #[error("Container {0} is paused, unpause the container before exec")]
    ExecPaused(String),
    /// For start.
    #[error("cannot start a paused container, try unpause instead")]
    StartPaused,
    /// For attach.
    #[error("container {0} is paused, unpause the container before attach")]
    AttachPaused(String),
    /// For pause.
    #[error("Container {0} is already paused")]
    AlreadyPaused(String),
    /// For unpause.
    #[error("Container {0} is not paused")]
    NotPaused(String),
    /// For pause and exec.
    #[error("Container {0} is restarting, wait until the container is running")]
    Restarting(String),
    /// For everything.
    #[error("container is marked for removal and cannot be started")]
    MarkedForRemoval,
    /// For a second remove.
    #[error("removal of container {0} is already in progress")]
    RemovalInProgress(String),
    /// For a remove without force.
    #[error(
        "cannot remove container \"{name}\": container is {state}: stop the container before removing or \
         force remove"
    )]
    RemoveRunning {
        /// With its slash.
        name: String,
        /// `running`, `paused` or `restarting`.
        state: &'static str,
    },
    /// For a second start.
    #[error("Error: Exec command {0} is already running")]
    ExecRuns(String),
    /// For a start after the end.
    #[error("Error: Exec command {0} has already run")]
    ExecHasRun(String),
    /// For a resize of an exec that ended.
    #[error("exec process {0} is not running")]
    ExecNotRunning(String),
    /// For any operation on a container whose removal failed.
    #[error("container {0} is dead: its removal failed; remove it again")]
    Dead(String),
}

/// The process could not be started; the text holds what Docker's clients look for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{prefix}{message}")]
pub struct StartFailure {
    /// Exit code that the container is left with: 127, 126 or 128.
    pub code: i64,
    /// What could not be done.
    pub(crate) prefix: &'static str,
    /// Why.
    pub message: String,
    pub(crate) kind: ErrorKind,
}

impl Error {
    /// What sort of failure it is.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::NoSuchContainer(_) | Self::NoSuchImage(_) | Self::NoSuchExec(_) => ErrorKind::NotFound,
            Self::Ambiguous(_) | Self::Invalid(_) | Self::SameName => ErrorKind::InvalidParameter,
            Self::Unsupported { .. } | Self::LogsUnreadable => ErrorKind::NotImplemented,
            Self::NameInUse { .. } | Self::State(_) | Self::ImageConflict(_) => ErrorKind::Conflict,
            Self::NotModified(..) => ErrorKind::NotModified,
            Self::Start(failure) => failure.kind,
            Self::Ports(error) => error.kind(),
            Self::VmOff(_) | Self::VmHalted(_) | Self::Machine(_) | Self::ShuttingDown => {
                ErrorKind::Unavailable
            }
            Self::Images(error) => error.kind(),
            Self::Refused(refusal) => refusal.kind(),
            Self::Mount(_) => ErrorKind::InvalidParameter,
            Self::Lab(error) => error.kind(),
            Self::Network(error) => error.kind(),
            Self::Volume(error) => error.kind(),
            Self::Share(error) if error.is_the_clients() => ErrorKind::InvalidParameter,
            Self::Share(_) => ErrorKind::System,
            Self::Agent { .. }
            | Self::Stream { .. }
            | Self::Deadline { .. }
            | Self::Unkillable(_)
            | Self::Database(_) => ErrorKind::System,
        }
    }
}

impl ImagesError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Lookup(images::LookupError::NotFound(_)) => ErrorKind::NotFound,
            Self::Lookup(_) | Self::Tag(images::TagError::Digest(_)) => ErrorKind::InvalidParameter,
            Self::Pull(error) => match error {
                images::PullError::AccessDenied { .. }
                | images::PullError::ManifestUnknown(_)
                | images::PullError::RepositoryUnknown(_)
                | images::PullError::NoMatchingPlatform(_) => ErrorKind::NotFound,
                _ => ErrorKind::System,
            },
            Self::Remove(images::RemoveError::Conflict(_)) | Self::Fsck(images::fsck::FsckError::Running) => {
                ErrorKind::Conflict
            }
            Self::Fsck(_) => ErrorKind::System,
            Self::Push(images::PushError::Platform { .. }) => ErrorKind::NotFound,
            Self::Push(_) => ErrorKind::System,
            Self::Distribution(error) => match error {
                images::DistributionError::Unauthorized(_) => ErrorKind::Unauthorized,
                images::DistributionError::Denied(_) => ErrorKind::Forbidden,
                images::DistributionError::ManifestUnknown | images::DistributionError::NameUnknown => {
                    ErrorKind::NotFound
                }
                _ => ErrorKind::System,
            },
            Self::Search(error) => match error {
                images::SearchError::Scheme(_) | images::SearchError::Registry(_) => {
                    ErrorKind::InvalidParameter
                }
                images::SearchError::NotOffered { .. } => ErrorKind::NotImplemented,
                _ => ErrorKind::System,
            },
            Self::Save(images::SaveError::NoReference(_) | images::SaveError::Platform { .. }) => {
                ErrorKind::NotFound
            }
            Self::Save(images::SaveError::Lookup(_)) => ErrorKind::InvalidParameter,
            Self::Load(_) if self.is_of_an_archive() => ErrorKind::InvalidParameter,
            Self::Remove(_) | Self::Tag(_) | Self::Load(_) | Self::Save(_) | Self::Import(_) => {
                ErrorKind::System
            }
        }
    }
}

impl From<Invalid> for Error {
    fn from(invalid: Invalid) -> Self {
        Self::Invalid(invalid)
    }
}

impl From<StateConflict> for Error {
    fn from(conflict: StateConflict) -> Self {
        Self::State(conflict)
    }
}

fn detail(given: &str) -> String {
    if given.is_empty() { String::new() } else { format!(" (got {given:?})") }
}
