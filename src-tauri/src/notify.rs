//! Notifications: a VM that is halted, a container that crashed or became unhealthy, a pull that finished while nobody
//! looked.
//!
//! [`Attention`] decides from events alone; the rest shows what it decided.

use std::{
    collections::{HashMap, HashSet},
    sync::Mutex,
    time::{Duration, Instant},
};

use client::bollard::models::{EventMessage, EventMessageTypeEnum};
use tauri::{AppHandle, Manager as _};
use tauri_plugin_notification::NotificationExt as _;

use crate::{
    link::{Link, News},
    preferences::PreferenceStore,
    texts::{Spoken, filled},
    window,
};

/// A container that crashes again and again is told of once in this time.
const QUIET: Duration = Duration::from_secs(60);
/// Signals that ask for something else than an end: HUP, USR1, USR2, CONT, STOP, WINCH.
const NOT_ENDING: [&str; 6] = ["1", "10", "12", "18", "19", "28"];

/// What deserves a notification.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Notice {
    Halted { why: String },
    Crashed { name: String, code: String },
    Unhealthy { name: String },
    Pulled { name: String },
}

/// What must be remembered of events to tell a crash from a wish.
#[derive(Default)]
struct Attention {
    vm_runs: bool,
    vm_is_halted: bool,
    /// Containers that were asked to end.
    asked: HashSet<String>,
    told: HashMap<String, Instant>,
}

impl Attention {
    fn hear(&mut self, news: &News, now: Instant) -> Option<Notice> {
        match news {
            News::Vm(status) => {
                self.vm_runs = status.is_running();
                let why = status.halted().map(str::to_owned);
                let before = std::mem::replace(&mut self.vm_is_halted, why.is_some());
                return why.filter(|_| !before).map(|why| Notice::Halted { why });
            }
            News::Unreachable(_) => self.vm_runs = false,
            News::Event(event) => return self.hear_event(event, now),
            News::Connecting | News::Connected => {}
        }
        None
    }

    fn hear_event(&mut self, event: &EventMessage, now: Instant) -> Option<Notice> {
        let actor = event.actor.as_ref()?;
        let id = actor.id.clone()?;
        let attribute = |name: &str| actor.attributes.as_ref()?.get(name).cloned();
        match (event.typ?, event.action.as_deref()?) {
            (EventMessageTypeEnum::IMAGE, "pull") => Some(Notice::Pulled { name: id }),
            (EventMessageTypeEnum::CONTAINER, action) => {
                let name = attribute("name").unwrap_or_else(|| id.clone());
                match action {
                    "kill" => {
                        let signal = attribute("signal").unwrap_or_default();
                        if !NOT_ENDING.contains(&signal.as_str()) {
                            self.asked.insert(id);
                        }
                        None
                    }
                    "start" | "destroy" => {
                        self.asked.remove(&id);
                        None
                    }
                    "die" => {
                        let asked = self.asked.remove(&id);
                        let code = attribute("exitCode").filter(|code| code != "0")?;
                        let told = self.vm_runs && !asked && self.first_in_a_while(format!("die {id}"), now);
                        told.then_some(Notice::Crashed { name, code })
                    }
                    "health_status: unhealthy" => {
                        let told = self.first_in_a_while(format!("health {id}"), now);
                        told.then_some(Notice::Unhealthy { name })
                    }
                    _ => None,
                }
            }
            _ => None,
        }
    }

    fn first_in_a_while(&mut self, what: String, now: Instant) -> bool {
        self.told.retain(|_, then| now.duration_since(*then) < QUIET);
        self.told.insert(what, now).is_none()
    }
}

/// Tells from now on.
pub(crate) fn start(app: &AppHandle) {
    let attention = Mutex::new(Attention::default());
    let teller = app.clone();
    app.state::<Link>().listen(move |news| {
        let mut attention = attention.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(notice) = attention.hear(news, Instant::now()) {
            tell(&teller, &notice);
        }
        true
    });
}

fn tell(app: &AppHandle, notice: &Notice) {
    let texts = app.state::<Spoken>().texts();
    let (title, body) = match notice {
        Notice::Halted { why } => (texts.halted, why.clone()),
        Notice::Crashed { name, code } => {
            (filled(&texts.crashed, "name", name), filled(&texts.crashed_body, "code", code))
        }
        Notice::Unhealthy { name } => (filled(&texts.unhealthy, "name", name), texts.unhealthy_body),
        Notice::Pulled { name } => {
            if window::is_looked_at(app) {
                return;
            }
            (filled(&texts.pulled, "name", name), String::new())
        }
    };
    show(app, title, body);
}

/// Tells of an order from the tray that failed, in coracled's words.
pub(crate) fn failed(app: &AppHandle, message: &str) {
    show(app, app.state::<Spoken>().texts().failed, message.to_owned());
}

fn show(app: &AppHandle, title: String, body: String) {
    if !app.state::<PreferenceStore>().kept().notifications {
        return;
    }
    tracing::info!(title, "notification");
    if let Err(error) = app.notification().builder().title(title).body(body).show() {
        tracing::warn!(%error, "a notification cannot be shown");
    }
}

#[cfg(test)]
mod tests {
    use client::{VmStatus, bollard::models::EventActor};

    use super::*;

    fn event(typ: EventMessageTypeEnum, action: &str, attributes: &[(&str, &str)]) -> News {
        let attributes = attributes.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        News::Event(Box::new(EventMessage {
            typ: Some(typ),
            action: Some(action.to_owned()),
            actor: Some(EventActor { id: Some("c1".to_owned()), attributes: Some(attributes.collect()) }),
            ..EventMessage::default()
        }))
    }

    fn container(action: &str, attributes: &[(&str, &str)]) -> News {
        let mut all = vec![("name", "web")];
        all.extend(attributes);
        event(EventMessageTypeEnum::CONTAINER, action, &all)
    }

    fn attentive() -> Attention {
        let mut attention = Attention::default();
        let running = serde_json::from_str(r#"{"state": "running"}"#).unwrap();
        assert_eq!(attention.hear(&News::Vm(running), Instant::now()), None);
        attention
    }

    #[test]
    fn a_crash_is_told_and_a_wished_end_is_not() {
        let now = Instant::now();
        let crash = Some(Notice::Crashed { name: "web".to_owned(), code: "139".to_owned() });
        let died = container("die", &[("exitCode", "139")]);

        let mut attention = attentive();
        assert_eq!(attention.hear(&died, now), crash);
        // The same once more within the minute, and after it.
        assert_eq!(attention.hear(&died, now + QUIET / 2), None);
        assert_eq!(attention.hear(&died, now + QUIET * 2), crash);

        for (before, told) in [
            (container("kill", &[("signal", "15")]), false),
            (container("kill", &[("signal", "1")]), true),
            (News::Vm(VmStatus::Stopping), false),
            (container("start", &[]), true),
        ] {
            let mut attention = attentive();
            assert_eq!(attention.hear(&before, now), None);
            assert_eq!(attention.hear(&died, now).is_some(), told, "{before:?}");
        }
        assert_eq!(attentive().hear(&container("die", &[("exitCode", "0")]), now), None);
    }

    #[test]
    fn a_halted_vm_is_told_once() {
        let halted = r#"{"state": "running", "halted": "the disk is full"}"#;
        let halted = News::Vm(serde_json::from_str(halted).unwrap());
        let told = Some(Notice::Halted { why: "the disk is full".to_owned() });
        let now = Instant::now();
        let mut attention = attentive();
        assert_eq!([attention.hear(&halted, now), attention.hear(&halted, now)], [told, None]);
    }

    #[test]
    fn health_and_pulls_are_told() {
        let now = Instant::now();
        let mut attention = attentive();
        assert_eq!(
            attention.hear(&container("health_status: unhealthy", &[]), now),
            Some(Notice::Unhealthy { name: "web".to_owned() })
        );
        assert_eq!(attention.hear(&container("health_status: healthy", &[]), now), None);
        assert_eq!(
            attention.hear(&event(EventMessageTypeEnum::IMAGE, "pull", &[]), now),
            Some(Notice::Pulled { name: "c1".to_owned() })
        );
        assert_eq!(attention.hear(&event(EventMessageTypeEnum::IMAGE, "tag", &[]), now), None);
    }
}
