//! The connection to coracled, kept up for as long as the page watches.
//!
//! ```text
//!          ┌── lost, or not there ── Unreachable ◄──┐
//! Connecting ──────────────────────► Connected ─────┘
//! ```
//!
//! At the first try coracled is started if nobody answers. Later it is not: whoever stopped it may have
//! meant it, and the page has a button.

use std::{
    sync::{PoisonError, RwLock},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use client::{
    CallError, Client, Endpoint,
    bollard::{
        models::{EventMessage, EventMessageTypeEnum},
        query_parameters::EventsOptionsBuilder,
    },
};
use futures::{Stream, StreamExt};
use tauri::ipc::Channel;
use tokio::sync::Notify;

use crate::{
    failure::Failure,
    model::{Subject, WatchEvent},
};

const RETRY_FIRST: Duration = Duration::from_millis(200);
const RETRY_LONGEST: Duration = Duration::from_secs(3);

/// The page is gone, so that there is nobody to tell.
pub(crate) struct PageGone;

/// Where coracled is, and how to speak to it.
pub(crate) struct Link {
    endpoint: Endpoint,
    client: RwLock<Option<Client>>,
    started: Notify,
}

impl Link {
    pub(crate) fn new(endpoint: Endpoint) -> Self {
        Self { endpoint, client: RwLock::new(None), started: Notify::new() }
    }

    /// A client for one command.
    pub(crate) async fn client(&self) -> Result<Client, Failure> {
        let known = self.client.read().unwrap_or_else(PoisonError::into_inner).clone();
        match known {
            Some(client) => Ok(client),
            None => Ok(self.remember(Client::connect(self.endpoint.clone()).await?)),
        }
    }

    /// Starts coracled if it does not run, and lets the watch look again at once.
    pub(crate) async fn start_service(&self) -> Result<(), Failure> {
        self.remember(Client::ensure_service(self.endpoint.clone()).await?);
        self.started.notify_one();
        Ok(())
    }

    fn remember(&self, client: Client) -> Client {
        *self.client.write().unwrap_or_else(PoisonError::into_inner) = Some(client.clone());
        client
    }

    /// Tells `page` about connection, VM and lists until it is gone.
    pub(crate) async fn watch(&self, page: &Channel<WatchEvent>) -> PageGone {
        let mut starting = true;
        loop {
            if let Err(gone) = self.watch_once(page, &mut starting).await {
                return gone;
            }
        }
    }

    async fn watch_once(&self, page: &Channel<WatchEvent>, starting: &mut bool) -> Result<(), PageGone> {
        tell(page, WatchEvent::Connecting)?;
        let mut pause = RETRY_FIRST;
        // Why it could not be started says more than that nobody answers.
        let mut not_started: Option<String> = None;
        let client = loop {
            let attempt = if std::mem::take(starting) {
                let started = Client::ensure_service(self.endpoint.clone()).await.map_err(Failure::from);
                not_started = started.as_ref().err().map(|failure| failure.message.clone());
                started
            } else {
                Client::connect(self.endpoint.clone()).await.map_err(Failure::from)
            };
            match attempt {
                Ok(client) => break self.remember(client),
                Err(failure) => {
                    let message = not_started.clone().unwrap_or(failure.message);
                    tell(page, WatchEvent::Unreachable { message })?;
                }
            }
            // A pause can be cut short by the page's button; it is bounded, so it may as well run out.
            let _ = tokio::time::timeout(pause, self.started.notified()).await;
            pause = (pause * 2).min(RETRY_LONGEST);
        };
        let lost = match follow(&client, page).await {
            Ok(gone) => return Err(gone),
            Err(lost) => lost,
        };
        tracing::info!(%lost, "coracled is gone");
        tell(page, WatchEvent::Unreachable { message: lost.to_string() })
    }
}

/// Forwards until coracled is lost, which is the error, or the page is gone.
async fn follow(client: &Client, page: &Channel<WatchEvent>) -> Result<PageGone, Lost> {
    let mut vm = std::pin::pin!(client.vm_watch().await?.into_stream());
    let mut events = std::pin::pin!(changes(client)?);
    if let Err(gone) = tell(page, WatchEvent::Connected) {
        return Ok(gone);
    }
    loop {
        let event = tokio::select! {
            status = vm.next() => WatchEvent::Vm { vm: status.ok_or(Lost::Closed)??.into() },
            change = events.next() => match change.ok_or(Lost::Closed)?? {
                Some(change) => change,
                None => continue,
            },
        };
        if let Err(gone) = tell(page, event) {
            return Ok(gone);
        }
    }
}

fn changes(client: &Client) -> Result<impl Stream<Item = Result<Option<WatchEvent>, Lost>> + use<>, Lost> {
    let docker = client.docker()?;
    // The page loads its lists while this request is still on its way: the last second is told again.
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let options = EventsOptionsBuilder::default().since(&now.saturating_sub(1).to_string()).build();
    let events = docker.events(Some(options));
    Ok(events.map(|event| Ok(change(event.map_err(CallError::from)?))))
}

/// What of an event concerns a list; none for the many that do not.
fn change(event: EventMessage) -> Option<WatchEvent> {
    let subject = match event.typ? {
        EventMessageTypeEnum::CONTAINER => Subject::Container,
        EventMessageTypeEnum::IMAGE => Subject::Image,
        EventMessageTypeEnum::VOLUME => Subject::Volume,
        EventMessageTypeEnum::NETWORK => Subject::Network,
        _ => return None,
    };
    let action = event.action.unwrap_or_default();
    let unseen = ["exec_", "attach", "detach", "resize", "top", "mount", "unmount"];
    if unseen.iter().any(|prefix| action.starts_with(prefix)) {
        return None;
    }
    let id = event.actor.and_then(|actor| actor.id).unwrap_or_default();
    Some(WatchEvent::Changed { subject, action, id })
}

fn tell(page: &Channel<WatchEvent>, event: WatchEvent) -> Result<(), PageGone> {
    page.send(event).map_err(|_| PageGone)
}

#[derive(Debug, thiserror::Error)]
enum Lost {
    #[error("coracled closed the connection")]
    Closed,
    #[error(transparent)]
    Call(#[from] CallError),
}

#[cfg(test)]
mod tests {
    use client::bollard::models::EventActor;

    use super::*;

    fn event(typ: EventMessageTypeEnum, action: &str) -> EventMessage {
        EventMessage {
            typ: Some(typ),
            action: Some(action.to_owned()),
            actor: Some(EventActor { id: Some("c1".to_owned()), attributes: None }),
            ..EventMessage::default()
        }
    }

    #[test]
    fn only_what_changes_a_list_is_told() {
        use EventMessageTypeEnum::{BUILDER, CONTAINER, IMAGE, VOLUME};
        let told = |typ, action| change(event(typ, action)).is_some();
        assert!(told(CONTAINER, "start") && told(CONTAINER, "die") && told(IMAGE, "pull"));
        assert!(
            !told(CONTAINER, "exec_create: sh") && !told(VOLUME, "mount") && !told(BUILDER, "prune")
        );
    }
}
