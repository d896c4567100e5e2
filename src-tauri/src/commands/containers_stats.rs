//! What running containers use: one channel for all of them.

use std::{collections::HashMap, pin::Pin, time::Duration};

use client::bollard::{
    Docker,
    models::{ContainerMemoryStats, ContainerStatsResponse, EventMessage},
    query_parameters::{EventsOptionsBuilder, ListContainersOptions, StatsOptionsBuilder},
};
use futures::{Stream, StreamExt, stream::SelectAll};
use tauri::{State, ipc::Channel};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::Answer;
use crate::{
    failure::Failure,
    link::Link,
    model::{Sample, StatsBatch},
    streams::Streams,
};

/// As often as coracled measures.
const EVERY: Duration = Duration::from_secs(1);

/// Follows the use of every container that runs, or comes to run, until the page closes the channel.
#[tauri::command]
pub(crate) async fn containers_stats(
    link: State<'_, Link>,
    streams: State<'_, Streams>,
    on_event: Channel<StatsBatch>,
) -> Answer<()> {
    let docker = link.client().await?.docker()?;
    let stream = streams.open(on_event.id());
    stream.until_closed(follow(&docker, &on_event)).await.unwrap_or(Ok(()))
}

async fn follow(docker: &Docker, page: &Channel<StatsBatch>) -> Answer<()> {
    let kinds = HashMap::from([
        ("type".to_owned(), vec!["container".to_owned()]),
        ("event".to_owned(), vec!["start".to_owned(), "die".to_owned()]),
    ]);
    // Asked for before the list, so that no start falls between the two.
    let mut events = docker.events(Some(EventsOptionsBuilder::default().filters(&kinds).build()));
    let mut measured = Measured::default();
    for container in docker.list_containers(None::<ListContainersOptions>).await? {
        measured.add(docker, container.id.unwrap_or_default());
    }
    let mut gathered: HashMap<String, Sample> = HashMap::new();
    let mut ticks = tokio::time::interval(EVERY);
    loop {
        tokio::select! {
            event = events.next() => match event {
                Some(event) => measured.heed(docker, event?),
                None => return Ok(()),
            },
            Some(sample) = measured.samples.next() => drop(gathered.insert(sample.id.clone(), sample)),
            _ = ticks.tick() => {
                let samples: Vec<Sample> = gathered.drain().map(|(_, sample)| sample).collect();
                if !samples.is_empty() && page.send(StatsBatch { samples }).is_err() {
                    return Ok(());
                }
            }
        }
    }
}

/// The containers that are followed.
#[derive(Default)]
struct Measured {
    samples: SelectAll<Pin<Box<dyn Stream<Item = Sample> + Send>>>,
    /// Dropping one ends its stream.
    guards: HashMap<String, DropGuard>,
}

impl Measured {
    fn heed(&mut self, docker: &Docker, event: EventMessage) {
        let Some(id) = event.actor.and_then(|actor| actor.id) else { return };
        match event.action.as_deref() {
            Some("start") => self.add(docker, id),
            _ => drop(self.guards.remove(&id)),
        }
    }

    fn add(&mut self, docker: &Docker, id: String) {
        let token = CancellationToken::new();
        let options = StatsOptionsBuilder::default().stream(true).build();
        let stats = docker.stats(&id, Some(options)).take_until(token.clone().cancelled_owned());
        self.guards.insert(id.clone(), token.drop_guard());
        self.samples.push(Box::pin(stats.filter_map(move |stats| {
            // One that ended in the same moment is told by its event.
            let sample = match stats {
                Ok(stats) => sample(&id, stats),
                Err(error) => {
                    tracing::debug!(container_id = id, error = Failure::from(error).message, "no stats");
                    None
                }
            };
            std::future::ready(sample)
        })));
    }
}

/// None for what Docker tells of a container that does not run.
fn sample(id: &str, stats: ContainerStatsResponse) -> Option<Sample> {
    let memory = stats.memory_stats.unwrap_or_default();
    memory.usage?;
    let sum = |field: fn(&client::bollard::models::ContainerNetworkStats) -> Option<u64>| {
        stats.networks.as_ref().map(|networks| networks.values().filter_map(field).sum())
    };
    let blocks = stats.blkio_stats.unwrap_or_default().io_service_bytes_recursive;
    let moved = |direction: &str| {
        let of_direction =
            |op: &Option<String>| op.as_deref().is_some_and(|op| op.eq_ignore_ascii_case(direction));
        blocks.as_ref().map(|entries| {
            entries.iter().filter(|entry| of_direction(&entry.op)).filter_map(|entry| entry.value).sum()
        })
    };
    Some(Sample {
        id: id.to_owned(),
        taken: stats.read?,
        cpu_ns: stats.cpu_stats.and_then(|cpu| cpu.cpu_usage?.total_usage),
        memory_bytes: used(&memory),
        memory_limit_bytes: memory.limit.filter(|limit| *limit > 0),
        received_bytes: sum(|network| network.rx_bytes),
        sent_bytes: sum(|network| network.tx_bytes),
        read_bytes: moved("read"),
        written_bytes: moved("write"),
        pids: stats.pids_stats.and_then(|pids| pids.current),
    })
}

/// docker's `calculateMemUsageUnixNoCache`.
fn used(memory: &ContainerMemoryStats) -> Option<u64> {
    let cache =
        memory.stats.as_ref().and_then(|stats| stats.get("inactive_file")).copied().unwrap_or_default();
    memory.usage.map(|usage| if cache < usage { usage - cache } else { usage })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stats(text: &str) -> ContainerStatsResponse {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn a_sample_adds_up_what_docker_tells_apart() {
        let told = stats(
            r#"{
                "read": "2026-01-02T03:04:05.6Z",
                "cpu_stats": { "cpu_usage": { "total_usage": 7 } },
                "memory_stats": { "usage": 100, "limit": 1000, "stats": { "inactive_file": 30 } },
                "networks": { "eth0": { "rx_bytes": 1, "tx_bytes": 2 }, "eth1": { "rx_bytes": 10, "tx_bytes": 20 } },
                "blkio_stats": { "io_service_bytes_recursive": [
                    { "op": "Read", "value": 5 }, { "op": "write", "value": 6 }, { "op": "read", "value": 50 }
                ] },
                "pids_stats": { "current": 3 }
            }"#,
        );
        let sample = sample("a", told).unwrap();
        assert_eq!(
            (sample.cpu_ns, sample.memory_bytes, sample.memory_limit_bytes),
            (Some(7), Some(70), Some(1000))
        );
        assert_eq!((sample.received_bytes, sample.sent_bytes), (Some(11), Some(22)));
        assert_eq!((sample.read_bytes, sample.written_bytes, sample.pids), (Some(55), Some(6), Some(3)));
    }

    #[test]
    fn what_is_not_told_is_not_made_up() {
        let sample = sample("a", stats(r#"{ "read": "x", "memory_stats": { "usage": 1 } }"#)).unwrap();
        assert_eq!((sample.cpu_ns, sample.received_bytes, sample.read_bytes), (None, None, None));
        assert_eq!((sample.memory_limit_bytes, sample.pids), (None, None));
    }

    #[test]
    fn one_that_does_not_run_has_no_sample() {
        assert_eq!(sample("a", stats(r#"{ "read": "0001-01-01T00:00:00Z", "memory_stats": {} }"#)), None);
    }
}
