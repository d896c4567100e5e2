//! Paths without a handler: parts of Docker's API that Coracle lacks, and everything else.

use axum::extract::Request;

use crate::error::{Answer, ApiError};

/// Families of Docker's API (as of 1.51) that Coracle has nothing of.
const FAMILIES: &[&str] = &[
    "build",
    "commit",
    "configs",
    "distribution",
    "grpc",
    "networks",
    "nodes",
    "plugins",
    "secrets",
    "services",
    "session",
    "swarm",
    "system",
    "tasks",
    "volumes",
];

/// Operations below `/containers` that Coracle lacks.
const OF_CONTAINERS: &[&str] =
    &["archive", "changes", "export", "stats", "top", "update", "ws", "prune", "checkpoints"];

/// Operations below `/images` that Coracle lacks.
const OF_IMAGES: &[&str] = &["get", "load", "prune", "push", "search"];

/// 501 for what Docker Engine has, 404 for what it has not.
pub(crate) async fn answer(request: Request) -> Answer {
    let path = request.uri().path();
    Err(lacking(path).map_or_else(ApiError::page_not_found, |()| {
        ApiError::missing(format_args!("{} {path}", request.method()))
    }))
}

fn lacking(path: &str) -> Option<()> {
    let (family, rest) = path.strip_prefix('/')?.split_once('/').unwrap_or((path.get(1..)?, ""));
    let last = rest.rsplit('/').next().unwrap_or_default();
    let known = match family {
        "containers" => OF_CONTAINERS.contains(&last),
        "images" => OF_IMAGES.contains(&last),
        _ => FAMILIES.contains(&family),
    };
    known.then_some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dockers_paths_are_told_from_others() {
        for path in
            ["/build", "/volumes", "/networks/create", "/containers/a/top", "/images/a/b/push", "/system/df"]
        {
            assert!(lacking(path).is_some(), "{path}");
        }
        for path in ["/", "/nothing", "/containers", "/containers/a/nothing", "/images", "/buildx"] {
            assert!(lacking(path).is_none(), "{path}");
        }
    }
}
