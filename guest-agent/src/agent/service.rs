//! The gRPC service: messages in, [`Guest`]'s calls, messages out. No policy.

use std::pin::Pin;
use std::sync::Arc;

use agent_proto::v1;
use agent_proto::v1::agent_server::Agent;
use agent_proto::v1::error_detail::Code;
use tokio::sync::broadcast::error::RecvError;
use tokio_stream::Stream;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status};

use crate::agent::failure::Failure;
use crate::agent::guest::{self, Guest};
use crate::agent::{archive, disks, isolation, resources, shares, stats, top, volumes};

/// The service over one [`Guest`].
pub(crate) struct Service {
    pub(crate) guest: Arc<Guest>,
    pub(crate) restarted: bool,
    pub(crate) shutdown: CancellationToken,
}

type Answer<T> = Result<Response<T>, Status>;

#[tonic::async_trait]
impl Agent for Service {
    type EventsStream = Pin<Box<dyn Stream<Item = Result<v1::Event, Status>> + Send>>;

    async fn info(&self, _: Request<v1::InfoRequest>) -> Answer<v1::InfoReply> {
        let (mem_total_bytes, mem_available_bytes) = disks::memory();
        let (data_disk_total_bytes, data_disk_free_bytes) = disks::usage();
        let load = stats::load();
        let controllers = std::fs::read_to_string("/sys/fs/cgroup/cgroup.controllers").unwrap_or_default();
        Ok(Response::new(v1::InfoReply {
            hello: Some(crate::agent::hello::message(self.restarted)),
            mem_total_bytes,
            mem_available_bytes,
            cpus: std::thread::available_parallelism().map_or(1, |n| u32::try_from(n.get()).unwrap_or(1)),
            data_disk_total_bytes,
            data_disk_free_bytes,
            cgroup_controllers: controllers.split_whitespace().map(str::to_owned).collect(),
            cpu_busy_ns: load.busy_ns,
            cpu_total_ns: load.total_ns,
            cards: load.cards,
        }))
    }

    async fn events(&self, _: Request<v1::EventsRequest>) -> Answer<Self::EventsStream> {
        let guest = Arc::clone(&self.guest);
        let (first, changes) = guest.table.subscribe();
        let stream =
            futures::stream::unfold((guest, Some(first), changes), |(guest, first, mut changes)| async {
                if let Some(first) = first {
                    return Some((Ok(first), (guest, None, changes)));
                }
                match changes.recv().await {
                    Ok(event) => Some((Ok(event), (guest, None, changes))),
                    // Too far behind: everything anew.
                    Err(RecvError::Lagged(_)) => {
                        let (first, changes) = guest.table.subscribe();
                        Some((Ok(first), (guest, None, changes)))
                    }
                    Err(RecvError::Closed) => None,
                }
            });
        Ok(Response::new(Box::pin(stream)))
    }

    async fn prepare_container(
        &self,
        request: Request<v1::PrepareContainerRequest>,
    ) -> Answer<v1::PrepareContainerReply> {
        self.guest.prepare(request.into_inner()).await?;
        Ok(Response::new(v1::PrepareContainerReply {}))
    }

    async fn start_container(
        &self,
        request: Request<v1::StartContainerRequest>,
    ) -> Answer<v1::StartContainerReply> {
        let state = self.guest.start(request.into_inner()).await?;
        let pid = state.pid.unsigned_abs();
        Ok(Response::new(v1::StartContainerReply { pid, started_unix_ns: state.at_unix_ns }))
    }

    async fn start_exec(&self, request: Request<v1::StartExecRequest>) -> Answer<v1::StartExecReply> {
        let state = self.guest.exec(request.into_inner()).await?;
        Ok(Response::new(v1::StartExecReply { pid: state.pid.unsigned_abs() }))
    }

    async fn signal(&self, request: Request<v1::SignalRequest>) -> Answer<v1::SignalReply> {
        self.guest.signal(request.into_inner())?;
        Ok(Response::new(v1::SignalReply {}))
    }

    async fn resize_tty(&self, request: Request<v1::ResizeTtyRequest>) -> Answer<v1::ResizeTtyReply> {
        self.guest.resize(request.into_inner())?;
        Ok(Response::new(v1::ResizeTtyReply {}))
    }

    async fn pause(&self, request: Request<v1::PauseRequest>) -> Answer<v1::PauseReply> {
        self.guest.freeze(&request.into_inner().container_id, true)?;
        Ok(Response::new(v1::PauseReply {}))
    }

    async fn resume(&self, request: Request<v1::ResumeRequest>) -> Answer<v1::ResumeReply> {
        self.guest.freeze(&request.into_inner().container_id, false)?;
        Ok(Response::new(v1::ResumeReply {}))
    }

    async fn collect(&self, request: Request<v1::CollectRequest>) -> Answer<v1::CollectReply> {
        self.guest.collect(guest::key(request.into_inner().process)?).await?;
        Ok(Response::new(v1::CollectReply {}))
    }

    async fn remove_container(
        &self,
        request: Request<v1::RemoveContainerRequest>,
    ) -> Answer<v1::RemoveContainerReply> {
        self.guest.remove(&request.into_inner().container_id).await?;
        Ok(Response::new(v1::RemoveContainerReply {}))
    }

    async fn release_layers(
        &self,
        request: Request<v1::ReleaseLayersRequest>,
    ) -> Answer<v1::ReleaseLayersReply> {
        self.guest.release(request.into_inner().diff_ids).await?;
        Ok(Response::new(v1::ReleaseLayersReply {}))
    }

    async fn stats(&self, request: Request<v1::StatsRequest>) -> Answer<v1::StatsReply> {
        let running = self.guest.first_processes(&request.into_inner().container_ids);
        let sampled = guest::blocking(move || Ok(stats::sample(&running, disks::memory().0))).await?;
        Ok(Response::new(v1::StatsReply { containers: sampled }))
    }

    async fn top(&self, request: Request<v1::TopRequest>) -> Answer<v1::TopReply> {
        let key = guest::container_key(&request.into_inner().container_id)?;
        let (state, _) = self.guest.table.running(&key)?;
        let listed = guest::blocking(move || Ok(top::list(&key.container, state.pid))).await?;
        Ok(Response::new(listed))
    }

    async fn isolation(&self, request: Request<v1::IsolationRequest>) -> Answer<v1::IsolationReply> {
        let key = guest::container_key(&request.into_inner().container_id)?;
        let (state, _) = self.guest.table.running(&key)?;
        let container = key.container.clone();
        let found = guest::blocking(move || isolation::of(&container, state.pid)).await;
        // When that run has ended meanwhile, what was read may be nothing or another's.
        let (now, _) = self.guest.table.running(&key)?;
        if (now.pid, now.at_unix_ns) != (state.pid, state.at_unix_ns) {
            return Err(Failure::new(Code::NotRunning, "it was started again meanwhile").into());
        }
        Ok(Response::new(found?))
    }

    async fn update_resources(
        &self,
        request: Request<v1::UpdateResourcesRequest>,
    ) -> Answer<v1::UpdateResourcesReply> {
        let request = request.into_inner();
        let key = guest::container_key(&request.container_id)?;
        self.guest.table.running(&key)?;
        guest::blocking(move || resources::update(&key.container, &request.resources_json)).await?;
        Ok(Response::new(v1::UpdateResourcesReply {}))
    }

    async fn changes(&self, request: Request<v1::ChangesRequest>) -> Answer<v1::ChangesReply> {
        let request = request.into_inner();
        self.guest.at_rest(&request.container_id).await?;
        let guest = Arc::clone(&self.guest);
        Ok(Response::new(guest::blocking(move || archive::changes(&guest, &request)).await?))
    }

    async fn disk_usage(&self, request: Request<v1::DiskUsageRequest>) -> Answer<v1::DiskUsageReply> {
        self.guest.disks().await?;
        let request = request.into_inner();
        Ok(Response::new(guest::blocking(move || Ok(archive::disk_usage(&request))).await?))
    }

    async fn list_volume(&self, request: Request<v1::ListVolumeRequest>) -> Answer<v1::ListVolumeReply> {
        self.guest.disks().await?;
        let request = request.into_inner();
        Ok(Response::new(guest::blocking(move || archive::list_volume(&request)).await?))
    }

    async fn sync_networks(
        &self,
        request: Request<v1::SyncNetworksRequest>,
    ) -> Answer<v1::SyncNetworksReply> {
        let repaired = self.guest.sync_networks(request.into_inner()).await?;
        Ok(Response::new(v1::SyncNetworksReply { repaired }))
    }

    async fn ensure_network(
        &self,
        request: Request<v1::EnsureNetworkRequest>,
    ) -> Answer<v1::EnsureNetworkReply> {
        self.guest.ensure_network(request.into_inner()).await?;
        Ok(Response::new(v1::EnsureNetworkReply {}))
    }

    async fn remove_network(
        &self,
        request: Request<v1::RemoveNetworkRequest>,
    ) -> Answer<v1::RemoveNetworkReply> {
        self.guest.remove_network(request.into_inner()).await?;
        Ok(Response::new(v1::RemoveNetworkReply {}))
    }

    async fn connect_endpoint(
        &self,
        request: Request<v1::ConnectEndpointRequest>,
    ) -> Answer<v1::ConnectEndpointReply> {
        self.guest.connect_endpoint(request.into_inner()).await?;
        Ok(Response::new(v1::ConnectEndpointReply {}))
    }

    async fn disconnect_endpoint(
        &self,
        request: Request<v1::DisconnectEndpointRequest>,
    ) -> Answer<v1::DisconnectEndpointReply> {
        self.guest.disconnect_endpoint(request.into_inner()).await?;
        Ok(Response::new(v1::DisconnectEndpointReply {}))
    }

    async fn remove_volume(
        &self,
        request: Request<v1::RemoveVolumeRequest>,
    ) -> Answer<v1::RemoveVolumeReply> {
        self.guest.remove_volume(request.into_inner().name).await?;
        Ok(Response::new(v1::RemoveVolumeReply {}))
    }

    async fn mount_disk(&self, request: Request<v1::MountDiskRequest>) -> Answer<v1::MountDiskReply> {
        // The tools that format and check it come with the disks.
        self.guest.disks().await?;
        volumes::disk::mount(&request.into_inner().serial).await?;
        Ok(Response::new(v1::MountDiskReply {}))
    }

    async fn unmount_disk(&self, request: Request<v1::UnmountDiskRequest>) -> Answer<v1::UnmountDiskReply> {
        volumes::disk::unmount(&request.into_inner().serial).await?;
        Ok(Response::new(v1::UnmountDiskReply {}))
    }

    async fn mount_share(&self, request: Request<v1::MountShareRequest>) -> Answer<v1::MountShareReply> {
        // The modules come with the disks.
        self.guest.disks().await?;
        shares::mount_share(request.into_inner()).await?;
        Ok(Response::new(v1::MountShareReply {}))
    }

    async fn unmount_share(
        &self,
        request: Request<v1::UnmountShareRequest>,
    ) -> Answer<v1::UnmountShareReply> {
        shares::unmount_share(request.into_inner().tag).await?;
        Ok(Response::new(v1::UnmountShareReply {}))
    }

    async fn notify_share(&self, request: Request<v1::NotifyShareRequest>) -> Answer<v1::NotifyShareReply> {
        let watched = shares::notify(request.into_inner()).await?;
        Ok(Response::new(v1::NotifyShareReply { watched }))
    }

    async fn shutdown(&self, _: Request<v1::ShutdownRequest>) -> Answer<v1::ShutdownReply> {
        self.guest.kill_all().await;
        self.shutdown.cancel();
        Ok(Response::new(v1::ShutdownReply {}))
    }
}
