//! `/coracle/images/fsck`: GET checks, POST repairs; `deep=1` reads every byte.

use axum::extract::State;
use axum::routing::get;
use axum::{Json, Router};
use images::fsck::{FsckOptions, FsckReport};

use crate::error::Answer;
use crate::params::Params;
use crate::state::Api;

pub(super) fn routes() -> Router<Api> {
    Router::new().route("/coracle/images/fsck", get(check).post(repair))
}

async fn check(State(api): State<Api>, params: Params) -> Answer<Json<FsckReport>> {
    run(&api, &params, false).await
}

async fn repair(State(api): State<Api>, params: Params) -> Answer<Json<FsckReport>> {
    run(&api, &params, true).await
}

async fn run(api: &Api, params: &Params, repair: bool) -> Answer<Json<FsckReport>> {
    let options = FsckOptions { repair, deep: params.flag("deep") };
    Ok(Json(api.engine.image_fsck(options).await?))
}
