//! The routes, one file per family, and what answers where there is none.

mod accounts;
mod archive;
mod archives;
mod attach;
mod browse;
mod cleanup;
mod commit;
mod containers;
mod coracle;
mod distribution;
mod events;
mod exec;
mod fixed;
mod fsck;
mod images;
mod info;
mod isolation;
mod lab;
mod lifecycle;
mod logs;
mod missing;
mod networks;
mod pull;
mod push;
mod search;
mod settings;
mod stats;
mod support;
mod system;
mod top;
mod update;
mod usage;
mod vm_stats;
mod volume_files;
mod volumes;
mod wait;
mod ws;

use axum::Router;

use crate::state::Api;

/// All routes, without a version in front.
pub(crate) fn router(api: Api) -> Router {
    Router::new()
        .merge(system::routes())
        .merge(accounts::routes())
        .merge(events::routes())
        .merge(images::routes())
        .merge(archives::routes())
        .merge(pull::routes())
        .merge(distribution::routes())
        .merge(search::routes())
        .merge(containers::routes())
        .merge(lifecycle::routes())
        .merge(wait::routes())
        .merge(logs::routes())
        .merge(attach::routes())
        .merge(ws::routes())
        .merge(exec::routes())
        .merge(fixed::routes())
        .merge(networks::routes())
        .merge(stats::routes())
        .merge(archive::routes())
        .merge(commit::routes())
        .merge(top::routes())
        .merge(update::routes())
        .merge(usage::routes())
        .merge(volumes::routes())
        .merge(volume_files::routes())
        .merge(coracle::routes())
        .merge(settings::routes())
        .merge(cleanup::routes())
        .merge(support::routes())
        .merge(vm_stats::routes())
        .merge(isolation::routes())
        .merge(lab::routes())
        .merge(browse::routes())
        .merge(fsck::routes())
        .fallback(missing::answer)
        .method_not_allowed_fallback(missing::answer)
        .with_state(api)
}
