//! What containers use. However many clients follow however many containers, the guest is asked once a second;
//! when nobody follows, it is not asked at all.
//!
//! ```text
//!  client ─► stream ─► receiver ◄─ sender per container ◄─ poller (one task, while there are senders)
//! ```

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use agent_proto::v1;
use futures::stream::{self, BoxStream, StreamExt as _};
use serde_json::{Map, Value, json};
use tokio::sync::broadcast;
use types::ContainerId;

use super::Refusal;
use crate::agent::{QUICK, call};
use crate::engine::Engine;
use crate::error::Error;
use crate::record::Record;
use crate::registry::Handle;
use crate::state::State;
use crate::task::Shared;
use crate::time::{NEVER, rfc3339};

/// Between two samples, as in Docker.
const PERIOD: Duration = Duration::from_secs(1);
/// Samples that a slow client may be behind before it misses some.
const BEHIND: usize = 4;

/// None: it does not run.
type Sample = Option<Arc<v1::ContainerStats>>;

/// Who is followed.
#[derive(Default)]
pub(crate) struct Followed(Mutex<HashMap<ContainerId, broadcast::Sender<Sample>>>);

impl Followed {
    fn lock(&self) -> MutexGuard<'_, HashMap<ContainerId, broadcast::Sender<Sample>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn follow(shared: &Arc<Shared>, id: &ContainerId) -> broadcast::Receiver<Sample> {
    let mut followed = shared.followed.lock();
    let alone = followed.is_empty();
    let sender = followed.entry(id.clone()).or_insert_with(|| broadcast::channel(BEHIND).0);
    let receiver = sender.subscribe();
    if alone {
        shared.spawn(poll(Arc::clone(shared)));
    }
    receiver
}

/// Asks until nobody follows any more.
async fn poll(shared: Arc<Shared>) {
    let mut ticks = tokio::time::interval(PERIOD);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let wanted: Vec<String> = {
            let mut followed = shared.followed.lock();
            followed.retain(|_, sender| sender.receiver_count() > 0);
            // Under the lock: whoever comes next finds it empty and starts another.
            if followed.is_empty() {
                return;
            }
            followed.keys().map(ToString::to_string).collect()
        };
        let mut samples = Vec::new();
        for (agent, container_ids) in shared.by_agent(wanted) {
            match call(QUICK, agent.grpc().stats(v1::StatsRequest { container_ids })).await {
                Ok(reply) => samples.extend(reply.containers),
                Err(error) => tracing::debug!(?error, "no statistics"),
            }
        }
        let mut samples: HashMap<String, _> =
            samples.into_iter().map(|sample| (sample.container_id.clone(), Arc::new(sample))).collect();
        for (id, sender) in shared.followed.lock().iter() {
            let _ = sender.send(samples.remove(id.as_str()));
        }
    }
}

impl Engine {
    /// What a container uses, in Docker's `StatsResponse`: each second until it is removed, or once.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn stats(
        &self,
        name: &str,
        stream: bool,
        one_shot: bool,
    ) -> Result<BoxStream<'static, Value>, Error> {
        let handle = self.find(name)?;
        if stream && one_shot {
            return Err(Refusal::StreamOfOneShot.into());
        }
        let view = handle.now();
        let runs = matches!(view.record.state, State::Running(_) | State::Paused(_));
        if !stream && !runs {
            return Ok(stream::iter([response(&handle, None, None)]).boxed());
        }
        if one_shot {
            let sample = self.sample(&view.record).await?;
            return Ok(stream::iter([response(&handle, sample.as_deref(), None)]).boxed());
        }
        let samples = follow(self.shared(), &handle.id);
        let all =
            stream::unfold((samples, handle, None::<Sample>), |(mut samples, handle, last)| async move {
                let mut views = handle.view.clone();
                let sample = loop {
                    let gone = views.wait_for(|view| view.gone);
                    tokio::select! {
                        sample = samples.recv() => match sample {
                            Ok(sample) => break sample,
                            Err(broadcast::error::RecvError::Lagged(_)) => {}
                            Err(broadcast::error::RecvError::Closed) => return None,
                        },
                        _ = gone => return None,
                    }
                };
                let before = last.flatten();
                let answer = response(&handle, sample.as_deref(), before.as_deref());
                Some((answer, (samples, handle, Some(sample))))
            });
        // The first has nothing to be compared with.
        Ok(if stream { all.boxed() } else { all.skip(1).take(1).boxed() })
    }

    async fn sample(&self, record: &Record) -> Result<Sample, Error> {
        let Some(agent) = self.shared().machine_of(record).agent() else { return Ok(None) };
        let request = v1::StatsRequest { container_ids: vec![record.id.to_string()] };
        let reply = call(QUICK, agent.grpc().stats(request))
            .await
            .map_err(|error| error.into_error("read statistics"))?;
        Ok(reply.containers.into_iter().next().map(Arc::new))
    }
}

fn cpu(sample: Option<&v1::ContainerStats>) -> Value {
    let none = v1::ContainerStats::default();
    let sample = sample.unwrap_or(&none);
    let mut cpu = json!({
        "cpu_usage": {
            "total_usage": sample.cpu_usage_ns,
            "usage_in_kernelmode": sample.cpu_system_ns,
            "usage_in_usermode": sample.cpu_user_ns,
        },
        "throttling_data": {
            "periods": sample.periods,
            "throttled_periods": sample.throttled_periods,
            "throttled_time": sample.throttled_ns,
        },
    });
    // Docker leaves zeros of these out.
    if sample.system_cpu_ns > 0 {
        cpu["system_cpu_usage"] = sample.system_cpu_ns.into();
    }
    if sample.online_cpus > 0 {
        cpu["online_cpus"] = sample.online_cpus.into();
    }
    cpu
}

fn memory(sample: &v1::ContainerStats) -> Value {
    let mut memory = Map::new();
    for (name, value) in [
        ("usage", sample.memory_usage_bytes),
        ("failcnt", sample.oom_kills),
        ("limit", sample.memory_limit_bytes),
    ] {
        if value > 0 {
            memory.insert(name.to_owned(), value.into());
        }
    }
    if !sample.memory_stat.is_empty() {
        memory.insert("stats".to_owned(), json!(sample.memory_stat));
    }
    memory.into()
}

fn block(sample: Option<&v1::ContainerStats>) -> Value {
    let devices = sample.map(|sample| sample.block.as_slice()).unwrap_or_default();
    let entries: Vec<Value> = devices
        .iter()
        .flat_map(|device| {
            [("read", device.read_bytes), ("write", device.write_bytes)].map(
                |(op, value)| json!({"major": device.major, "minor": device.minor, "op": op, "value": value}),
            )
        })
        .collect();
    json!({
        "io_service_bytes_recursive": if entries.is_empty() { Value::Null } else { entries.into() },
        "io_serviced_recursive": null,
        "io_queue_recursive": null,
        "io_service_time_recursive": null,
        "io_wait_time_recursive": null,
        "io_merged_recursive": null,
        "io_time_recursive": null,
        "sectors_recursive": null,
    })
}

fn networks(sample: &v1::ContainerStats) -> Map<String, Value> {
    let one = |device: &v1::InterfaceStats| {
        let counters = json!({
            "rx_bytes": device.rx_bytes,
            "rx_packets": device.rx_packets,
            "rx_errors": device.rx_errors,
            "rx_dropped": device.rx_dropped,
            "tx_bytes": device.tx_bytes,
            "tx_packets": device.tx_packets,
            "tx_errors": device.tx_errors,
            "tx_dropped": device.tx_dropped,
        });
        (device.name.clone(), counters)
    };
    sample.interfaces.iter().map(one).collect()
}

/// Docker's document; without a sample, that of a container that does not run.
fn response(
    handle: &Handle,
    sample: Option<&v1::ContainerStats>,
    before: Option<&v1::ContainerStats>,
) -> Value {
    let view = handle.now();
    document(&view.record.name, handle.id.as_str(), sample, before)
}

fn document(
    name: &str,
    id: &str,
    sample: Option<&v1::ContainerStats>,
    before: Option<&v1::ContainerStats>,
) -> Value {
    let time = |sample: Option<&v1::ContainerStats>| sample.map_or(NEVER.into(), |s| rfc3339(s.read_unix_ns));
    let mut pids = Map::new();
    if let Some(sample) = sample {
        for (key, value) in [("current", sample.pids), ("limit", sample.pids_limit)] {
            if value > 0 {
                pids.insert(key.to_owned(), value.into());
            }
        }
        // Docker's `pids.max` of none is the largest number.
        if sample.pids_limit == 0 {
            pids.insert("limit".to_owned(), u64::MAX.into());
        }
    }
    let mut answer = json!({
        "name": format!("/{name}"),
        "id": id,
        "read": time(sample),
        "preread": time(before),
        "pids_stats": pids,
        "blkio_stats": block(sample),
        "num_procs": 0,
        "storage_stats": {},
        "cpu_stats": cpu(sample),
        "precpu_stats": cpu(before),
        "memory_stats": sample.map_or_else(|| json!({}), memory),
    });
    if let Some(networks) = sample.map(networks).filter(|networks| !networks.is_empty()) {
        answer["networks"] = networks.into();
    }
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_becomes_dockers_document() {
        let before = v1::ContainerStats { read_unix_ns: 1, cpu_usage_ns: 5, ..Default::default() };
        let sample = v1::ContainerStats {
            read_unix_ns: 1_000_000_001,
            cpu_usage_ns: 9,
            system_cpu_ns: 100,
            online_cpus: 2,
            memory_usage_bytes: 7,
            memory_limit_bytes: 70,
            memory_stat: [("anon".to_owned(), 3)].into(),
            pids: 4,
            block: vec![v1::BlockStats { major: 8, read_bytes: 1, write_bytes: 2, ..Default::default() }],
            interfaces: vec![v1::InterfaceStats { name: "eth0".into(), rx_bytes: 11, ..Default::default() }],
            ..Default::default()
        };
        let document = document("n", "i", Some(&sample), Some(&before));
        assert_eq!(document["name"], "/n");
        assert_eq!(document["read"], "1970-01-01T00:00:01.000000001Z");
        assert_eq!(document["cpu_stats"]["cpu_usage"]["total_usage"], 9);
        assert_eq!(document["precpu_stats"]["cpu_usage"]["total_usage"], 5);
        assert_eq!(document["precpu_stats"].get("system_cpu_usage"), None);
        assert_eq!(document["memory_stats"], json!({"usage": 7, "limit": 70, "stats": {"anon": 3}}));
        assert_eq!(document["blkio_stats"]["io_service_bytes_recursive"][1]["op"], "write");
        assert_eq!(document["networks"]["eth0"]["rx_bytes"], 11);
        assert_eq!(document["pids_stats"]["current"], 4);
    }

    #[test]
    fn what_does_not_run_uses_nothing() {
        let document = document("n", "i", None, None);
        assert_eq!(document["read"], NEVER);
        assert_eq!((&document["memory_stats"], &document["pids_stats"]), (&json!({}), &json!({})));
        assert_eq!(document["cpu_stats"]["cpu_usage"]["total_usage"], 0);
        assert_eq!(document.get("networks"), None);
    }
}
