//! Lists and inspection, in Docker's shape.

use std::collections::HashMap;

use bollard_stubs::models::{
    ContainerInspectResponse, ContainerState, ContainerStateStatusEnum, ContainerSummary,
    ContainerSummaryHostConfig, ContainerSummaryNetworkSettings, ContainerSummaryStateEnum, DriverData,
    HostConfig, NetworkSettings,
};

use super::Engine;
use crate::error::Error;
use crate::exec::ExecState;
use crate::list::{Filters, status};
use crate::mounts::mount_points;
use crate::options::ListOptions;
use crate::record::{Record, View};
use crate::state::State;
use crate::time::{NEVER, now_unix_ns, rfc3339};

impl Engine {
    /// With links as Docker keeps them: from the other's name to a name below this container's.
    fn shown_host_config(&self, record: &Record) -> HostConfig {
        let mut host = record.host_config.clone();
        for link in host.links.iter_mut().flatten() {
            let (target, alias) = crate::network::split_link(link);
            let target =
                self.find(target).map_or_else(|_| target.to_owned(), |it| it.now().record.name.clone());
            *link = format!("/{target}:/{}/{alias}", record.name);
        }
        host
    }

    /// Lists containers, newest first.
    ///
    /// # Errors
    /// A filter that cannot be understood, or that names a container that does not exist.
    pub async fn list(&self, options: ListOptions) -> Result<Vec<ContainerSummary>, Error> {
        let mut filters = Filters::parse(options.filters)?;
        if let Some(name) = filters.values("before").first() {
            filters.before_unix_ns = Some(self.find(name)?.now().record.created_unix_ns);
        }
        if let Some(name) = filters.values("since").first() {
            filters.since_unix_ns = Some(self.find(name)?.now().record.created_unix_ns);
        }
        for ancestor in filters.values("ancestor").to_vec() {
            // An image that is not here has no containers.
            if let Ok(image) = self.shared.images.get(&ancestor).await {
                filters.ancestors.push(image.id);
            }
        }
        if !filters.ancestors.is_empty() {
            let images = self.shared.images.list().await;
            let parents = images.iter().filter_map(|image| Some((image.id, image.parent?)));
            filters.add_descendants(&parents.collect::<Vec<_>>());
        }
        let all = options.all || options.limit.is_some() || filters.implies_all();
        let mut views: Vec<_> = self.shared.registry.all().iter().map(crate::registry::Handle::now).collect();
        views.retain(|view| !view.gone && (all || view.record.state.is_active()) && filters.admit(view));
        views.sort_by_key(|view| std::cmp::Reverse(view.record.created_unix_ns));
        views.truncate(options.limit.unwrap_or(usize::MAX));
        let now = now_unix_ns();
        let mut summaries = Vec::with_capacity(views.len());
        let written = if options.size {
            let ids: Vec<_> = views.iter().map(|view| view.record.id.clone()).collect();
            self.written_bytes(&ids).await
        } else {
            HashMap::new()
        };
        for view in views {
            let mut summary = self.summary(&view, now).await;
            if options.size {
                (summary.size_rw, summary.size_root_fs) = self.sizes(&view.record, &written).await;
            }
            summaries.push(summary);
        }
        Ok(summaries)
    }

    async fn summary(&self, view: &View, now: i64) -> ContainerSummary {
        let record = &view.record;
        // A name that has moved on to another image would mislead.
        let named = self.shared.images.get(record.image_name()).await;
        let image = match named {
            Ok(image) if image.id == record.image => record.image_name().to_owned(),
            _ => record.image.to_string(),
        };
        ContainerSummary {
            id: Some(record.id.to_string()),
            names: Some(vec![format!("/{}", record.name)]),
            image: Some(image),
            image_id: Some(record.image.to_string()),
            image_manifest_descriptor: None,
            command: Some(record.command.join(" ")),
            created: Some(record.created_unix_ns / 1_000_000_000),
            ports: Some(crate::ports::summary(record)),
            size_rw: None,
            size_root_fs: None,
            labels: Some(record.config.labels.clone().unwrap_or_default()),
            state: Some(summary_state(&record.state)),
            status: Some(status(view, now)),
            host_config: Some(ContainerSummaryHostConfig {
                network_mode: record.host_config.network_mode.clone(),
                annotations: record.host_config.annotations.clone(),
            }),
            network_settings: Some(ContainerSummaryNetworkSettings {
                networks: Some(crate::network::settings(record)),
            }),
            mounts: Some(mount_points(&record.mounts)),
            health: Some(crate::health::summary(view.health.as_ref())),
        }
    }

    /// All of one container.
    ///
    /// # Errors
    /// There is no such container.
    pub async fn inspect(&self, name: &str, size: bool) -> Result<ContainerInspectResponse, Error> {
        let handle = self.find(name)?;
        let view = handle.now();
        let record = &view.record;
        let running: Vec<_> = self
            .shared
            .registry
            .execs_of(&record.id)
            .iter()
            .filter(|exec| matches!(exec.now(), ExecState::Running { .. } | ExecState::Starting))
            .map(|exec| exec.id.to_string())
            .collect();
        let (size_rw, size_root_fs) = if size {
            let written = self.written_bytes(std::slice::from_ref(&record.id)).await;
            self.sizes(record, &written).await
        } else {
            (None, None)
        };
        let mut command = record.command.iter().cloned();
        let in_guest = format!("/var/lib/coracle/data/containers/{}", record.id);
        let beside = format!("/run/coracle/c/{}", record.id);
        let log =
            if record.log_driver() == "json-file" { format!("{in_guest}/log.json") } else { String::new() };
        Ok(ContainerInspectResponse {
            id: Some(record.id.to_string()),
            created: Some(rfc3339(record.created_unix_ns)),
            path: command.next(),
            args: Some(command.collect()),
            state: Some(state(&view)),
            image: Some(record.image.to_string()),
            resolv_conf_path: Some(format!("{beside}/resolv.conf")),
            hostname_path: Some(format!("{beside}/hostname")),
            hosts_path: Some(format!("{beside}/hosts")),
            log_path: Some(log),
            name: Some(format!("/{}", record.name)),
            restart_count: Some(record.restarts.into()),
            driver: Some("overlayfs".to_owned()),
            platform: Some("linux".to_owned()),
            image_manifest_descriptor: None,
            mount_label: Some(String::new()),
            process_label: Some(String::new()),
            app_armor_profile: Some(String::new()),
            exec_ids: (!running.is_empty()).then_some(running),
            host_config: Some(self.shown_host_config(record)),
            graph_driver: Some(DriverData {
                name: "overlayfs".to_owned(),
                data: HashMap::from([("UpperDir".to_owned(), format!("{in_guest}/upper"))]),
            }),
            storage: None,
            size_rw,
            size_root_fs,
            mounts: Some(mount_points(&record.mounts)),
            config: Some(record.config.clone()),
            network_settings: Some(NetworkSettings {
                sandbox_id: Some(crate::network::sandbox(record).0),
                sandbox_key: Some(crate::network::sandbox(record).1),
                ports: Some(crate::ports::map(record)),
                networks: Some(crate::network::settings(record)),
            }),
        })
    }

    /// What it wrote, as far as the guest tells, and that together with its image.
    async fn sizes(&self, record: &Record, written: &HashMap<String, i64>) -> (Option<i64>, Option<i64>) {
        let own = written.get(record.id.as_str()).copied();
        let image = self.image_size(record).await;
        (own, image.map(|image| image + own.unwrap_or(0)))
    }

    async fn image_size(&self, record: &Record) -> Option<i64> {
        let image = self.shared.images.get(&record.image.to_string()).await.ok()?;
        i64::try_from(image.size_bytes).ok()
    }
}

fn state(view: &View) -> ContainerState {
    let record = &view.record;
    let state = &record.state;
    let exit = state.exit();
    ContainerState {
        status: Some(match state {
            State::Created { .. } => ContainerStateStatusEnum::CREATED,
            State::Running(_) => ContainerStateStatusEnum::RUNNING,
            State::Paused(_) => ContainerStateStatusEnum::PAUSED,
            State::Restarting(_) => ContainerStateStatusEnum::RESTARTING,
            State::Exited(_) => ContainerStateStatusEnum::EXITED,
            State::Removing(_) => ContainerStateStatusEnum::REMOVING,
            State::Dead { .. } => ContainerStateStatusEnum::DEAD,
        }),
        running: Some(state.is_active()),
        paused: Some(matches!(state, State::Paused(_))),
        restarting: Some(matches!(state, State::Restarting(_))),
        oom_killed: Some(exit.is_some_and(|exit| exit.oom_killed)),
        dead: Some(matches!(state, State::Dead { .. })),
        pid: Some(state.run().map_or(0, |run| run.pid.into())),
        exit_code: Some(state.exit_code()),
        error: Some(state.error().unwrap_or_default().to_owned()),
        started_at: Some(rfc3339(record.started_unix_ns)),
        finished_at: Some(match record.finished_unix_ns {
            0 => NEVER.to_owned(),
            at => rfc3339(at),
        }),
        health: view.health.as_ref().map(crate::health::Health::told),
    }
}

fn summary_state(state: &State) -> ContainerSummaryStateEnum {
    match state {
        State::Created { .. } => ContainerSummaryStateEnum::CREATED,
        State::Running(_) => ContainerSummaryStateEnum::RUNNING,
        State::Paused(_) => ContainerSummaryStateEnum::PAUSED,
        State::Restarting(_) => ContainerSummaryStateEnum::RESTARTING,
        State::Exited(_) => ContainerSummaryStateEnum::EXITED,
        State::Removing(_) => ContainerSummaryStateEnum::REMOVING,
        State::Dead { .. } => ContainerSummaryStateEnum::DEAD,
    }
}
