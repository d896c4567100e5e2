//! coracled, its VM, and what changed.

use client::{
    VmStatus,
    bollard::models::{EventMessage, EventMessageTypeEnum},
};
use serde::{Deserialize, Serialize};
use ts_rs::TS;

use crate::link::News;

/// One message of the `watch` channel.
#[derive(Clone, Debug, Serialize, TS)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(crate) enum WatchEvent {
    /// Looking for coracled, or starting it.
    Connecting,
    /// coracled answers; everything shown before may be stale.
    Connected,
    /// coracled does not answer.
    Unreachable {
        /// Why.
        message: String,
    },
    /// The VM's state.
    Vm {
        /// Its state.
        vm: Vm,
    },
    /// Something in a list changed.
    Changed {
        /// What kind of thing.
        subject: Subject,
        /// Docker's word for what happened to it.
        action: String,
        /// Which one.
        id: String,
    },
}

impl WatchEvent {
    /// What of the news concerns the page; none for the many events that change no list.
    pub(crate) fn of(news: &News) -> Option<Self> {
        Some(match news {
            News::Connecting => Self::Connecting,
            News::Connected => Self::Connected,
            News::Unreachable(message) => Self::Unreachable { message: message.clone() },
            News::Vm(status) => Self::Vm { vm: status.clone().into() },
            News::Event(event) => Self::of_event(event)?,
        })
    }

    fn of_event(event: &EventMessage) -> Option<Self> {
        let subject = match event.typ? {
            EventMessageTypeEnum::CONTAINER => Subject::Container,
            EventMessageTypeEnum::IMAGE => Subject::Image,
            EventMessageTypeEnum::VOLUME => Subject::Volume,
            EventMessageTypeEnum::NETWORK => Subject::Network,
            _ => return None,
        };
        let action = event.action.clone().unwrap_or_default();
        let unseen = ["exec_", "attach", "detach", "resize", "top", "mount", "unmount"];
        if unseen.iter().any(|prefix| action.starts_with(prefix)) {
            return None;
        }
        let id = event.actor.as_ref().and_then(|actor| actor.id.clone()).unwrap_or_default();
        Some(Self::Changed { subject, action, id })
    }
}

/// What an event is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, TS)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Subject {
    Container,
    Image,
    Volume,
    Network,
}

/// The VM's state.
#[derive(Clone, Debug, Serialize, TS)]
#[serde(tag = "state", rename_all = "snake_case")]
pub(crate) enum Vm {
    Off,
    Booting {
        stage: String,
        #[ts(type = "number | null")]
        since_unix_ms: Option<u64>,
    },
    Running {
        #[ts(type = "number | null")]
        boot_ms: Option<u64>,
        accelerator: String,
        transport: String,
        /// Why it stands still at present.
        halted: Option<String>,
    },
    Stopping,
    Failed {
        reason: String,
        console_tail: Vec<String>,
    },
    Unknown,
}

impl From<VmStatus> for Vm {
    fn from(status: VmStatus) -> Self {
        match status {
            VmStatus::Off => Self::Off,
            VmStatus::Booting { stage, since_unix_ms, .. } => Self::Booting { stage, since_unix_ms },
            VmStatus::Running { boot_ms, accelerator, transport, halted, .. } => {
                Self::Running { boot_ms, accelerator, transport, halted }
            }
            VmStatus::Stopping => Self::Stopping,
            VmStatus::Failed { reason, console_tail } => Self::Failed { reason, console_tail },
            VmStatus::Unknown => Self::Unknown,
        }
    }
}

/// What `/coracle/doctor` found.
#[derive(Clone, Debug, Deserialize, Serialize, TS)]
pub(crate) struct Finding {
    /// Stable name, such as `vm.accelerator.kvm`.
    pub(crate) id: String,
    pub(crate) level: Level,
    /// In a few words.
    pub(crate) title: String,
    /// In a few sentences.
    pub(crate) detail: String,
    /// What would help, in words.
    pub(crate) fix: Option<String>,
    /// A line for a terminal that helps.
    pub(crate) command: Option<String>,
}

/// How bad a finding is.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, TS)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Level {
    Ok,
    Warn,
    Error,
}

/// Whether docker's own client speaks to this Coracle.
#[derive(Clone, Debug, Deserialize, Serialize, TS)]
#[allow(clippy::struct_excessive_bools, reason = "each stands for itself")]
pub(crate) struct DockerContext {
    /// Whether there is a context named coracle.
    pub(crate) installed: bool,
    /// Whether it leads to this Coracle.
    pub(crate) leads_here: bool,
    /// The context's address.
    pub(crate) host: String,
    /// The one that docker uses.
    pub(crate) current: String,
    /// `DOCKER_HOST`, which outranks contexts.
    pub(crate) docker_host: Option<String>,
    /// Whether a plain `docker ps` reaches this Coracle.
    pub(crate) in_use: bool,
}

declared!(WatchEvent, Subject, Vm, Finding, Level, DockerContext);

#[cfg(test)]
mod tests {
    use client::bollard::models::EventActor;

    use super::*;

    #[test]
    fn only_what_changes_a_list_is_told() {
        use EventMessageTypeEnum::{BUILDER, CONTAINER, IMAGE, VOLUME};
        let told = |typ, action: &str| {
            let event = EventMessage {
                typ: Some(typ),
                action: Some(action.to_owned()),
                actor: Some(EventActor { id: Some("c1".to_owned()), attributes: None }),
                ..EventMessage::default()
            };
            WatchEvent::of(&News::Event(Box::new(event))).is_some()
        };
        assert!(told(CONTAINER, "start") && told(CONTAINER, "die") && told(IMAGE, "pull"));
        assert!(!told(CONTAINER, "exec_create: sh") && !told(VOLUME, "mount") && !told(BUILDER, "prune"));
    }
}
