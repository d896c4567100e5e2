//! Events: what happened, in Docker's words, to whoever listens, and the last ones to whoever comes late.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bollard_stubs::models::{EventActor, EventMessage, EventMessageScopeEnum, EventMessageTypeEnum};
use futures::stream::{self, BoxStream, StreamExt as _};
use tokio::sync::broadcast;

use crate::options::EventFilters;
use crate::record::Record;
use crate::time::now_unix_ns;

/// As many as Docker keeps.
const KEPT: usize = 256;
/// How far a listener may lag behind before it loses events.
const LAG: usize = 1024;

/// Where events go. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Hub {
    inner: Arc<Inner>,
}

struct Inner {
    sender: broadcast::Sender<Arc<EventMessage>>,
    recent: Mutex<VecDeque<Arc<EventMessage>>>,
}

impl Hub {
    pub(crate) fn new() -> Self {
        let (sender, _) = broadcast::channel(LAG);
        Self { inner: Arc::new(Inner { sender, recent: Mutex::new(VecDeque::new()) }) }
    }

    pub(crate) fn emit(&self, event: EventMessage) {
        let event = Arc::new(event);
        // Sent under the lock: a subscriber finds each event either among the recent ones or in its channel.
        let mut recent = self.inner.recent.lock().unwrap_or_else(PoisonError::into_inner);
        if recent.len() == KEPT {
            recent.pop_front();
        }
        recent.push_back(Arc::clone(&event));
        let _ = self.inner.sender.send(event);
    }

    /// A container's event, with its labels, image, name and `more`.
    pub(crate) fn container(&self, record: &Record, action: &str, more: &[(&str, String)]) {
        let mut attributes = record.config.labels.clone().unwrap_or_default();
        attributes.insert("image".to_owned(), record.image_name().to_owned());
        attributes.insert("name".to_owned(), record.name.clone());
        attributes.extend(more.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
        self.emit(message(EventMessageTypeEnum::CONTAINER, action, record.id.to_string(), attributes));
    }

    /// An image's event.
    pub(crate) fn image(&self, action: &str, id: String, name: &str) {
        let attributes = HashMap::from([("name".to_owned(), name.to_owned())]);
        self.emit(message(EventMessageTypeEnum::IMAGE, action, id, attributes));
    }

    /// An image's event, with its labels.
    pub(crate) fn image_with(&self, action: &str, image: &images::Image, name: &str) {
        let labels = image.config.config().as_ref().and_then(|config| config.labels().clone());
        let mut attributes = labels.unwrap_or_default();
        attributes.insert("name".to_owned(), name.to_owned());
        self.emit(message(EventMessageTypeEnum::IMAGE, action, image.id.to_string(), attributes));
    }

    /// A network's event.
    pub(crate) fn network(&self, network: &crate::network::Network, action: &str, more: &[(&str, String)]) {
        let name = [("name", network.name.clone()), ("type", network.driver.clone())];
        let attributes =
            name.iter().chain(more).map(|(key, value)| ((*key).to_owned(), value.clone())).collect();
        self.emit(message(EventMessageTypeEnum::NETWORK, action, network.id.clone(), attributes));
    }

    /// Networks were pruned.
    pub(crate) fn pruned_networks(&self) {
        let attributes = HashMap::from([("reclaimed".to_owned(), "0".to_owned())]);
        self.emit(message(EventMessageTypeEnum::NETWORK, "prune", String::new(), attributes));
    }

    /// A volume's event.
    pub(crate) fn volume(&self, action: &str, name: &str, attributes: &[(&str, String)]) {
        let attributes = attributes.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect();
        self.emit(message(EventMessageTypeEnum::VOLUME, action, name.to_owned(), attributes));
    }

    /// All unused things of one kind were removed.
    pub(crate) fn pruned(&self, of: EventMessageTypeEnum, reclaimed_bytes: i64) {
        let attributes = HashMap::from([("reclaimed".to_owned(), reclaimed_bytes.to_string())]);
        self.emit(message(of, "prune", String::new(), attributes));
    }

    pub(crate) fn subscribe(
        &self,
        since_unix_ns: Option<i64>,
        until_unix_ns: Option<i64>,
        filters: &EventFilters,
    ) -> BoxStream<'static, EventMessage> {
        let filters = Filters::parse(filters);
        let (past, receiver) = {
            let recent = self.inner.recent.lock().unwrap_or_else(PoisonError::into_inner);
            let past: Vec<_> = match since_unix_ns {
                Some(since) => recent.iter().filter(|e| e.time_nano.unwrap_or(0) >= since).cloned().collect(),
                None => Vec::new(),
            };
            (past, self.inner.sender.subscribe())
        };
        let to_come = stream::unfold(receiver, |mut receiver| async move {
            loop {
                match receiver.recv().await {
                    Ok(event) => return Some((event, receiver)),
                    Err(broadcast::error::RecvError::Lagged(lost)) => {
                        tracing::warn!(lost, "a listener to events is too slow");
                    }
                    Err(broadcast::error::RecvError::Closed) => return None,
                }
            }
        });
        let in_time = move |event: &Arc<EventMessage>| {
            until_unix_ns.is_none_or(|until| event.time_nano.unwrap_or(0) <= until)
        };
        let left = until_unix_ns.map(|until| {
            Duration::from_nanos(u64::try_from(until.saturating_sub(now_unix_ns())).unwrap_or(0))
        });
        let end = async move {
            match left {
                Some(left) => tokio::time::sleep(left).await,
                None => std::future::pending().await,
            }
        };
        let past = stream::iter(past);
        let all =
            past.chain(to_come.take_until(Box::pin(end))).filter(move |e| std::future::ready(in_time(e)));
        all.filter(move |event| std::future::ready(filters.admit(event)))
            .map(|event| EventMessage::clone(&event))
            .boxed()
    }
}

fn message(
    typ: EventMessageTypeEnum,
    action: &str,
    id: String,
    attributes: HashMap<String, String>,
) -> EventMessage {
    let now = now_unix_ns();
    EventMessage {
        typ: Some(typ),
        action: Some(action.to_owned()),
        actor: Some(EventActor { id: Some(id), attributes: Some(attributes) }),
        scope: Some(EventMessageScopeEnum::LOCAL),
        time: Some(now / 1_000_000_000),
        time_nano: Some(now),
    }
}

/// Docker's filters: any of a key's values, all of the keys.
struct Filters(EventFilters);

impl Filters {
    /// Unknown ones say nothing, as in Docker.
    fn parse(filters: &EventFilters) -> Self {
        const KNOWN: [&str; 16] = [
            "config",
            "container",
            "daemon",
            "event",
            "image",
            "label",
            "network",
            "node",
            "plugin",
            "scope",
            "secret",
            "service",
            "type",
            "volume",
            "builder",
            "reference",
        ];
        let known = filters.iter().filter(|(key, _)| KNOWN.contains(&key.as_str()));
        Self(known.map(|(key, values)| (key.clone(), values.clone())).collect())
    }

    fn admit(&self, event: &EventMessage) -> bool {
        let actor = event.actor.as_ref();
        let id = actor.and_then(|actor| actor.id.as_deref()).unwrap_or_default();
        let attributes = actor.and_then(|actor| actor.attributes.as_ref());
        let attribute =
            |name: &str| attributes.and_then(|a| a.get(name)).map(String::as_str).unwrap_or_default();
        let typ = event.typ.as_ref().map(ToString::to_string).unwrap_or_default();
        let action = event.action.as_deref().unwrap_or_default();
        let named = |value: &str| id == value || attribute("name") == value || id.starts_with(value);
        let all_keys = self.0.iter().filter(|(_, values)| !values.is_empty());
        all_keys.into_iter().all(|(key, values)| {
            // Of labels all must fit, of anything else one.
            if key == "label" {
                return values.iter().all(|wanted| crate::list::has_label(attributes, wanted));
            }
            values.iter().any(|value| match key.as_str() {
                "type" => typ == *value,
                // `exec_start: sh -c …` is of the kind `exec_start`.
                "event" => action == value || action.split(':').next() == Some(value),
                "container" => typ == "container" && named(value),
                "image" => match typ.as_str() {
                    "image" => named(value) || attribute("name").split(':').next() == Some(value),
                    _ => attribute("image") == value || attribute("image").split(':').next() == Some(value),
                },
                "scope" => value == "local",
                "daemon" | "network" | "volume" => typ == *key && named(value),
                _ => false,
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(typ: EventMessageTypeEnum, action: &str, attributes: &[(&str, &str)]) -> EventMessage {
        let attributes = attributes.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        message(typ, action, "abcdef".to_owned(), attributes)
    }

    #[test]
    fn filters_admit_any_value_of_all_keys() {
        let container = event(
            EventMessageTypeEnum::CONTAINER,
            "exec_start: sh",
            &[("name", "web"), ("image", "nginx:1"), ("tier", "front")],
        );
        for (filter, expected) in [
            (vec![("type", vec!["container"])], true),
            (vec![("type", vec!["image"])], false),
            (vec![("type", vec!["image", "container"])], true),
            (vec![("event", vec!["exec_start"])], true),
            (vec![("event", vec!["start"])], false),
            (vec![("container", vec!["web"])], true),
            (vec![("container", vec!["abc"])], true),
            (vec![("container", vec!["db"])], false),
            (vec![("image", vec!["nginx"])], true),
            (vec![("label", vec!["tier=front"])], true),
            (vec![("label", vec!["tier"])], true),
            (vec![("label", vec!["tier", "none"])], false),
            (vec![("colour", vec!["red"])], true),
            (vec![("label", vec!["tier=back"])], false),
            (vec![("type", vec!["container"]), ("event", vec!["die"])], false),
        ] {
            let own = |values: &Vec<&str>| values.iter().map(ToString::to_string).collect::<Vec<_>>();
            let filters = filter.iter().map(|(key, values)| ((*key).to_owned(), own(values))).collect();
            assert_eq!(Filters::parse(&filters).admit(&container), expected, "{filter:?}");
        }
    }

    #[tokio::test]
    async fn late_listeners_get_what_they_ask_for_once() {
        let hub = Hub::new();
        for n in 0..300 {
            hub.emit(event(EventMessageTypeEnum::CONTAINER, &format!("old{n}"), &[]));
        }
        let since = Some(0);
        let stream = hub.subscribe(since, None, &HashMap::new());
        hub.emit(event(EventMessageTypeEnum::CONTAINER, "new", &[]));
        let seen: Vec<_> = stream.take(KEPT + 1).map(|event| event.action.unwrap()).collect().await;
        assert_eq!(seen[0], "old44");
        assert_eq!(seen[KEPT], "new");
    }

    #[tokio::test(start_paused = true)]
    async fn until_ends_the_stream() {
        let hub = Hub::new();
        let until = Some(now_unix_ns() + 1_000_000_000);
        let stream = hub.subscribe(None, until, &HashMap::new());
        assert_eq!(stream.count().await, 0);
    }
}
