//! The connection to coracled, kept up for as long as the app runs, and whoever listens to it: the page, the tray, the
//! notifications.
//!
//! ```text
//!          ┌── lost, or not there ── Unreachable ◄──┐
//! Connecting ──────────────────────► Connected ─────┘
//! ```
//!
//! At the first try coracled is started if nobody answers. Later it is not: whoever stopped it may have
//! meant it, and the page has a button.
//!
//! Invariant: who begins to listen hears first how things stand, and then everything, in order.

use std::{
    sync::{Mutex, MutexGuard, PoisonError, RwLock},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use client::{
    CallError, Client, Endpoint, VmStatus,
    bollard::{models::EventMessage, query_parameters::EventsOptionsBuilder},
};
use futures::{Stream, StreamExt};
use tokio::sync::Notify;

use crate::failure::Failure;

const RETRY_FIRST: Duration = Duration::from_millis(200);
const RETRY_LONGEST: Duration = Duration::from_secs(3);

/// What listeners hear.
#[derive(Clone, Debug)]
pub(crate) enum News {
    /// Looking for coracled, or starting it.
    Connecting,
    /// coracled answers; everything known before may be stale.
    Connected,
    /// coracled does not answer, and why.
    Unreachable(String),
    /// The VM's state.
    Vm(VmStatus),
    /// One of Docker's events.
    Event(Box<EventMessage>),
}

/// Whether a listener wants to hear more.
pub(crate) type Listening = bool;

type Listener = Box<dyn Fn(&News) -> Listening + Send>;

/// Where coracled is, and how to speak to it.
pub(crate) struct Link {
    endpoint: Endpoint,
    client: RwLock<Option<Client>>,
    started: Notify,
    audience: Mutex<Audience>,
}

struct Audience {
    connection: News,
    vm: Option<News>,
    listeners: Vec<Listener>,
}

impl Link {
    pub(crate) fn new(endpoint: Endpoint) -> Self {
        let audience = Audience { connection: News::Connecting, vm: None, listeners: Vec::new() };
        Self { endpoint, client: RwLock::new(None), started: Notify::new(), audience: Mutex::new(audience) }
    }

    /// Where coracled is looked for.
    pub(crate) fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// A client for one command.
    pub(crate) async fn client(&self) -> Result<Client, Failure> {
        let known = self.client.read().unwrap_or_else(PoisonError::into_inner).clone();
        match known {
            Some(client) => Ok(client),
            None => Ok(self.remember(Client::connect(self.endpoint.clone()).await?)),
        }
    }

    /// Starts coracled if it does not run, and lets [`Link::follow`] look again at once.
    pub(crate) async fn start_service(&self) -> Result<(), Failure> {
        self.remember(Client::ensure_service(self.endpoint.clone()).await?);
        self.started.notify_one();
        Ok(())
    }

    /// Tells `listener` how things stand and then what happens, until it wants no more. It must not wait.
    pub(crate) fn listen(&self, listener: impl Fn(&News) -> Listening + Send + 'static) {
        let mut audience = self.audience();
        let known = std::iter::once(&audience.connection).chain(&audience.vm);
        if known.into_iter().all(&listener) {
            audience.listeners.push(Box::new(listener));
        }
    }

    /// Keeps the connection up, and everybody informed. It never ends.
    pub(crate) async fn follow(&self) {
        let mut starting = true;
        loop {
            self.tell(&News::Connecting);
            let client = self.find(std::mem::take(&mut starting)).await;
            let lost = match self.forward(&client).await {
                Ok(never) => match never {},
                Err(lost) => lost,
            };
            tracing::info!(%lost, "coracled is gone");
            self.tell(&News::Unreachable(lost.to_string()));
        }
    }

    /// Tries until coracled answers.
    async fn find(&self, mut starting: bool) -> Client {
        let mut pause = RETRY_FIRST;
        // Why it could not be started says more than that nobody answers.
        let mut not_started: Option<String> = None;
        loop {
            let attempt = if std::mem::take(&mut starting) {
                let started = Client::ensure_service(self.endpoint.clone()).await.map_err(Failure::from);
                not_started = started.as_ref().err().map(|failure| failure.message.clone());
                started
            } else {
                Client::connect(self.endpoint.clone()).await.map_err(Failure::from)
            };
            match attempt {
                Ok(client) => return self.remember(client),
                Err(failure) => {
                    self.tell(&News::Unreachable(not_started.clone().unwrap_or(failure.message)));
                }
            }
            // A pause can be cut short by the page's button; it is bounded, so it may as well run out.
            let _ = tokio::time::timeout(pause, self.started.notified()).await;
            pause = (pause * 2).min(RETRY_LONGEST);
        }
    }

    async fn forward(&self, client: &Client) -> Result<std::convert::Infallible, Lost> {
        let mut vm = std::pin::pin!(client.vm_watch().await?.into_stream());
        let mut events = std::pin::pin!(events(client)?);
        self.tell(&News::Connected);
        loop {
            let news = tokio::select! {
                status = vm.next() => News::Vm(status.ok_or(Lost::Closed)??),
                event = events.next() => News::Event(Box::new(event.ok_or(Lost::Closed)??)),
            };
            self.tell(&news);
        }
    }

    fn tell(&self, news: &News) {
        let mut audience = self.audience();
        match news {
            News::Event(_) => {}
            News::Vm(_) => audience.vm = Some(news.clone()),
            News::Connecting | News::Connected | News::Unreachable(_) => {
                audience.connection = news.clone();
                audience.vm = None;
            }
        }
        audience.listeners.retain(|listener| listener(news));
    }

    fn remember(&self, client: Client) -> Client {
        *self.client.write().unwrap_or_else(PoisonError::into_inner) = Some(client.clone());
        client
    }

    fn audience(&self) -> MutexGuard<'_, Audience> {
        self.audience.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn events(client: &Client) -> Result<impl Stream<Item = Result<EventMessage, CallError>> + use<>, Lost> {
    let docker = client.docker()?;
    // Lists are loaded while this request is still on its way: the last second is told again.
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let options = EventsOptionsBuilder::default().since(&now.saturating_sub(1).to_string()).build();
    Ok(docker.events(Some(options)).map(|event| event.map_err(CallError::from)))
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
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn who_comes_late_hears_how_things_stand() {
        let link = Link::new(Endpoint::at("/nowhere").unwrap());
        link.tell(&News::Connected);
        link.tell(&News::Vm(VmStatus::Off));
        let (tell, told) = mpsc::channel();
        link.listen(move |news| tell.send(format!("{news:?}")).is_ok());
        link.tell(&News::Unreachable("gone".to_owned()));
        let heard: Vec<String> = told.try_iter().collect();
        assert_eq!(heard, ["Connected", "Vm(Off)", r#"Unreachable("gone")"#]);
        drop(told);
        link.tell(&News::Connecting);
        assert!(link.audience().listeners.is_empty());
    }
}
