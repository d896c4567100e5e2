//! The calls.

use std::time::Duration;

use bollard::{ClientVersion, Docker, models::ContainerWaitResponse};
use futures::Stream;
use hyper::Method;
use serde::de::DeserializeOwned;

use crate::{
    Account, CallError, Doctor, Endpoint, FilesQuery, Fsck, ImageDiff, ImageFile, ImageFiles, ImageLayers,
    Report, StartServiceError, VmStatus,
    browse::percent_encoded,
    http::{self, Lines},
    isolation::Isolation,
    service::{self, ServiceLaunch},
};

/// What answers from memory.
pub(crate) const SHORT: Duration = Duration::from_secs(10);
/// What probes the machine.
pub(crate) const PROBE: Duration = Duration::from_secs(60);
/// A boot with every accelerator tried in turn.
const BOOT: Duration = Duration::from_secs(300);
/// What carries as many bytes as there are.
pub(crate) const TRANSFER: Duration = Duration::from_secs(24 * 60 * 60);
/// What reads every byte of every image.
const FSCK: Duration = Duration::from_secs(24 * 60 * 60);
/// What a call may take until its head comes: a `stop` with a long grace answers after it. No more than a guard
/// against a coracled that hangs.
const DOCKER_SECONDS: u64 = 24 * 60 * 60;
/// The newest API version whose requests this client writes.
const DOCKER_API: ClientVersion = ClientVersion { major_version: 1, minor_version: 51 };

/// A coracled that answered once. Cheap to clone; each call opens its own connection.
#[derive(Clone, Debug)]
pub struct Client {
    endpoint: Endpoint,
    api: (usize, usize),
}

impl Client {
    /// Connects to a coracled that runs already.
    pub async fn connect(endpoint: Endpoint) -> Result<Self, CallError> {
        let answer = http::send(&endpoint.socket(), Method::GET, "/_ping", SHORT).await?;
        let served = answer.headers.get("api-version").and_then(|value| parse_api(value.to_str().ok()?));
        let ours = (DOCKER_API.major_version, DOCKER_API.minor_version);
        Ok(Self { endpoint, api: served.map_or(ours, |served| served.min(ours)) })
    }

    /// Connects, and starts coracled in the background first if nobody answers.
    pub async fn ensure_service(endpoint: Endpoint) -> Result<Self, StartServiceError> {
        service::ensure(endpoint, &ServiceLaunch::default()).await
    }

    /// As [`Client::ensure_service`], with the program and the patience chosen by the caller.
    pub async fn ensure_service_with(
        endpoint: Endpoint,
        launch: &ServiceLaunch,
    ) -> Result<Self, StartServiceError> {
        service::ensure(endpoint, launch).await
    }

    /// Where this coracled lives.
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// A Docker client on coracled's socket, speaking the API version that both sides know.
    pub fn docker(&self) -> Result<Docker, CallError> {
        let version = ClientVersion { major_version: self.api.0, minor_version: self.api.1 };
        let socket = self.endpoint.socket();
        Ok(Docker::connect_with_local(&socket.to_string_lossy(), DOCKER_SECONDS, &version)?)
    }

    /// The VM's present state.
    pub async fn vm_status(&self) -> Result<VmStatus, CallError> {
        self.call(Method::GET, "/coracle/vm", SHORT).await
    }

    /// Boots the VM and waits for its agent.
    pub async fn vm_start(&self) -> Result<VmStatus, CallError> {
        self.call(Method::POST, "/coracle/vm/start", BOOT).await
    }

    /// Stops containers and VM.
    pub async fn vm_stop(&self) -> Result<VmStatus, CallError> {
        self.call(Method::POST, "/coracle/vm/stop", BOOT).await
    }

    /// Stops and boots.
    pub async fn vm_restart(&self) -> Result<VmStatus, CallError> {
        self.call(Method::POST, "/coracle/vm/restart", BOOT).await
    }

    /// Forgets which accelerators do not work here.
    pub async fn vm_reprobe(&self) -> Result<VmStatus, CallError> {
        self.call(Method::POST, "/coracle/vm/reprobe", BOOT).await
    }

    /// The VM's state now and at each change.
    pub async fn vm_watch(&self) -> Result<VmWatch, CallError> {
        let answer = http::send(&self.endpoint.socket(), Method::GET, "/coracle/vm/events", SHORT).await?;
        Ok(VmWatch { lines: answer.into_lines() })
    }

    /// Everything at one glance.
    pub async fn status(&self) -> Result<Report, CallError> {
        self.call(Method::GET, "/coracle/status", PROBE).await
    }

    /// What is wrong with this machine, and what would help.
    pub async fn doctor(&self) -> Result<Doctor, CallError> {
        self.call(Method::GET, "/coracle/doctor", PROBE).await
    }

    /// A path in an image, and what is in it.
    pub async fn image_files(&self, image: &str, query: &FilesQuery<'_>) -> Result<ImageFiles, CallError> {
        self.call(Method::GET, &query.url(image, "files"), PROBE).await
    }

    /// A file's contents.
    pub async fn image_file(&self, image: &str, query: &FilesQuery<'_>) -> Result<ImageFile, CallError> {
        self.image_bytes(&query.url(image, "file")).await
    }

    /// What is at a path of an image, a folder with all that is in it, as a tar.
    pub async fn image_archive(&self, image: &str, query: &FilesQuery<'_>) -> Result<ImageFile, CallError> {
        self.image_bytes(&query.url(image, "archive")).await
    }

    async fn image_bytes(&self, url: &str) -> Result<ImageFile, CallError> {
        Ok(ImageFile { answer: http::send(&self.endpoint.socket(), Method::GET, url, PROBE).await? })
    }

    /// What an image's layers are and hold.
    pub async fn image_layers(&self, image: &str) -> Result<ImageLayers, CallError> {
        let path = format!("/coracle/images/{}/layers", percent_encoded(image.as_bytes()));
        self.call(Method::GET, &path, PROBE).await
    }

    /// What two images differ in.
    pub async fn image_diff(&self, a: &str, b: &str) -> Result<ImageDiff, CallError> {
        let (a, b) = (percent_encoded(a.as_bytes()), percent_encoded(b.as_bytes()));
        let path = format!("/coracle/images/diff?a={a}&b={b}");
        let answer = http::send(&self.endpoint.socket(), Method::GET, &path, PROBE).await?;
        Ok(ImageDiff { lines: answer.into_lines() })
    }

    /// What fences a running container off.
    pub async fn container_isolation(&self, container: &str) -> Result<Isolation, CallError> {
        let path = format!("/coracle/containers/{}/isolation", percent_encoded(container.as_bytes()));
        self.call(Method::GET, &path, PROBE).await
    }

    /// Checks everything that images have on the disk; `deep` reads every byte of it.
    pub async fn images_fsck(&self, repair: bool, deep: bool) -> Result<Fsck, CallError> {
        let method = if repair { Method::POST } else { Method::GET };
        let path = if deep { "/coracle/images/fsck?deep=1" } else { "/coracle/images/fsck" };
        self.call(method, path, FSCK).await
    }

    /// Asks a registry whether it takes this account, and keeps it if so. `server` is what docker's client calls
    /// it: a host, an address, nothing for Docker Hub.
    pub async fn login(&self, server: &str, user: &str, password: &str) -> Result<(), CallError> {
        let body = serde_json::json!({ "username": user, "password": password, "serveraddress": server });
        self.tell("/coracle/login", &body).await
    }

    /// The accounts at registries that are kept on this machine.
    pub async fn accounts(&self) -> Result<Vec<Account>, CallError> {
        self.call(Method::GET, "/coracle/accounts", PROBE).await
    }

    /// Forgets the account at a registry.
    pub async fn logout(&self, server: &str) -> Result<(), CallError> {
        self.tell("/coracle/logout", &serde_json::json!({ "serveraddress": server })).await
    }

    async fn tell(&self, path: &str, body: &serde_json::Value) -> Result<(), CallError> {
        let body = body.to_string().into();
        http::send_body(&self.endpoint.socket(), Method::POST, path, body, PROBE).await.map(drop)
    }

    /// Stops coracled and waits for its end; the VM lives on unless `stop_vm`.
    pub async fn shutdown(&self, stop_vm: bool) -> Result<(), CallError> {
        let path = if stop_vm { "/coracle/shutdown?vm=stop" } else { "/coracle/shutdown" };
        http::send(&self.endpoint.socket(), Method::POST, path, BOOT).await?;
        service::ended(&self.endpoint, BOOT).await
    }

    /// Waits for a container: returns once coracled has taken the request, so that a start after it cannot
    /// be missed. `condition` is Docker's: `not-running`, `next-exit` or `removed`.
    pub async fn container_wait(&self, id: &str, condition: &str) -> Result<ContainerWait, CallError> {
        let path = format!("/containers/{id}/wait?condition={condition}");
        let answer = http::send(&self.endpoint.socket(), Method::POST, &path, SHORT).await?;
        Ok(ContainerWait { lines: answer.into_lines() })
    }

    async fn call<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        deadline: Duration,
    ) -> Result<T, CallError> {
        http::send(&self.endpoint.socket(), method, path, deadline).await?.json(deadline).await
    }
}

/// A wait that coracled has taken.
pub struct ContainerWait {
    lines: Lines,
}

impl ContainerWait {
    /// The exit; none when coracled went away first.
    pub async fn exit(mut self) -> Result<Option<ContainerWaitResponse>, CallError> {
        self.lines.next().await
    }
}

/// The VM's state as it changes. Dropping it hangs up.
pub struct VmWatch {
    lines: Lines,
}

impl VmWatch {
    /// The next state, first the present one; none when coracled has gone.
    pub async fn next(&mut self) -> Result<Option<VmStatus>, CallError> {
        self.lines.next().await
    }

    /// As a stream, which ends after the first error.
    pub fn into_stream(self) -> impl Stream<Item = Result<VmStatus, CallError>> + Send {
        futures::stream::try_unfold(self, |mut watch| async move {
            Ok(watch.next().await?.map(|status| (status, watch)))
        })
    }
}

fn parse_api(text: &str) -> Option<(usize, usize)> {
    let (major, minor) = text.trim().split_once('.')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}
