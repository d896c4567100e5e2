//! The parts together, from the lock to the last drain.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use engine::{Engine, EngineConfig, OwnVmConfig};
use engine_api::{Api, Listener, Service};
use vmm::{Vm, VmConfig};

use crate::args::Args;
use crate::ending::Requests;
use crate::home::Home;
use crate::live::{Live, Parts};
use crate::settings::Settings;
use crate::watch::Watch;
use crate::{bundled, lock, logging, places, trim};

/// Runs until a signal or a client ends it.
pub(crate) async fn run(args: Args) -> anyhow::Result<()> {
    let home = Home::open(args.home)?;
    let _lock = lock::take(&home.run().join("coracled.lock"))?;
    let settings_file = args.settings.unwrap_or_else(|| home.settings());
    let (settings, set) = Settings::read(&settings_file)?;
    let filter = args.log.as_deref().unwrap_or(settings.log_filter());
    let filter = logging::start(&home.log().join("coracled.log"), filter)?;
    let requests = Requests::listen().context("listening for signals")?;
    let assets = places::assets(args.assets);
    let libexec = places::libexec(args.libexec);
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        pid = std::process::id(),
        home = %home.path().display(),
        assets = %assets.display(),
        libexec = %libexec.display(),
        "coracled starts"
    );

    // Clients that come from now on wait in the socket's queue until all is in place.
    let listener = Listener::bind(&home.socket()).await?;
    let registries = settings.registries(&home);
    let images = images::Store::open(&home.images(), &home.db().join("images.redb"), registries)
        .await
        .context("opening the image store")?;
    let warnings = take_in_bundled(&images, &home, &assets).await;
    let defaults = VmConfig::below(home.path(), assets, libexec);
    let config = settings.configured(&defaults);
    let engine = engine_config(&home, &settings, config.clone());
    let vm = Vm::new(config);
    let engine =
        Engine::open(engine, images.clone(), Arc::new(vm.clone())).await.context("opening the engine")?;
    let parts = Parts { images: images.clone(), engine: engine.clone(), vm: vm.clone(), filter };
    let live = Arc::new(Live::new(settings_file, home.clone(), parts, defaults, args.log, (settings, set)));
    let service = Service {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        home: home.path().to_owned(),
        socket: home.socket(),
        id: home.id()?,
        log_dir: home.log(),
        preferences: live.clone(),
        warnings,
    };
    // Without it what an editor changes counts at the next start.
    let watch = Watch::begin(&live);
    if let Err(error) = &watch {
        tracing::warn!("changes of settings are not seen: {error:#}");
    }
    let api = Api::new(engine.clone(), vm.clone(), service);

    let watcher = tokio::spawn(stop_on_request(requests, api.clone()));
    let trimmer = tokio::spawn(trim::after_images(engine.clone()));
    tracing::info!(socket = %home.socket().display(), "coracled serves");
    engine_api::serve(listener, api).await;

    tracing::info!("coracled lets go of containers and VM, which run on");
    engine.shutdown().await;
    // Where there is none it was never made.
    let _ = std::fs::remove_file(home.card());
    tracing::debug!("the engine is closed");
    drop(watch);
    images.close().await;
    tracing::debug!("the image store is closed");
    vm.detach().await;
    watcher.abort();
    trimmer.abort();
    tracing::info!("coracled ends");
    Ok(())
}

/// `vm` is what the VMs of single containers are like.
pub(crate) fn engine_config(home: &Home, settings: &Settings, vm: VmConfig) -> EngineConfig {
    EngineConfig {
        db_path: home.db().join("engine.redb"),
        file_sharing: settings.file_sharing(),
        own_vms: OwnVmConfig::below(home.path(), vm),
        volume_disks: home.path().join("disks/volumes"),
        publish_on: settings.publish_on,
        name_servers: settings.dns.clone(),
        card: Some(home.card()),
        lab_work: std::env::current_exe().ok(),
    }
}

/// The first request drains, a second one does not wait for that.
async fn stop_on_request(mut requests: Requests, api: Api) {
    let signal = requests.next().await;
    tracing::info!(signal, "coracled is asked to end");
    api.stop();
    let signal = requests.next().await;
    tracing::warn!(signal, "coracled ends at once");
    std::process::exit(1);
}

/// What went wrong with it, as a warning: the service is of use without the bundled image.
async fn take_in_bundled(images: &images::Store, home: &Home, assets: &Path) -> Vec<String> {
    let taken = bundled::import(images, &assets.join("hello.tar"), &home.db().join("bundled")).await;
    match taken {
        Ok(()) => Vec::new(),
        Err(error) => {
            tracing::warn!("the bundled image is missing: {error:#}");
            vec![format!("WARNING: The bundled image coracle/hello is missing: {error:#}")]
        }
    }
}
