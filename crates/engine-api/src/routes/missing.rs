//! Paths without a handler: parts of Docker's API that Coracle lacks, and everything else.

use axum::extract::Request;
use http::StatusCode;

use crate::body::read_off;
use crate::error::{Answer, ApiError};

/// Families of Docker's API (as of 1.51) that Coracle has nothing of.
const FAMILIES: &[&str] = &[
    "build", "configs", "grpc", "nodes", "plugins", "secrets", "services", "session", "swarm", "system",
    "tasks",
];

/// Operations below `/containers` that Coracle lacks.
const OF_CONTAINERS: &[&str] = &["checkpoints"];

/// Families that only a swarm has.
const OF_SWARMS: &[&str] = &["configs", "nodes", "secrets", "services", "swarm", "tasks"];

pub(super) const NO_SWARM: &str = "This node is not a swarm manager. Use \"docker swarm init\" or \"docker swarm join\" to \
                        connect this node to swarm and try again.";

/// 501 for what Docker Engine has, 404 for what it has not.
pub(crate) async fn answer(request: Request) -> Answer {
    let (parts, body) = request.into_parts();
    read_off(&mut body.into_data_stream()).await;
    let path = parts.uri.path();
    if of_swarm(path) {
        return Err(ApiError::new(StatusCode::SERVICE_UNAVAILABLE, NO_SWARM));
    }
    Err(lacking(path).map_or_else(ApiError::page_not_found, |()| {
        ApiError::missing(format_args!("{} {path}", parts.method))
    }))
}

/// Whether Docker Engine answers that there is no swarm. To found or join one is another matter.
fn of_swarm(path: &str) -> bool {
    let family = path.split('/').nth(1).unwrap_or_default();
    OF_SWARMS.contains(&family) && !matches!(path, "/swarm/init" | "/swarm/join")
}

fn lacking(path: &str) -> Option<()> {
    let (family, rest) = path.strip_prefix('/')?.split_once('/').unwrap_or((path.get(1..)?, ""));
    let last = rest.rsplit('/').next().unwrap_or_default();
    let known = match family {
        "containers" => OF_CONTAINERS.contains(&last),
        _ => FAMILIES.contains(&family),
    };
    known.then_some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn swarms_are_founded_before_they_are_asked() {
        for path in ["/swarm", "/services/a", "/nodes", "/secrets", "/swarm/leave"] {
            assert!(of_swarm(path), "{path}");
        }
        assert!(!of_swarm("/swarm/init") && !of_swarm("/networks") && !of_swarm("/"));
    }

    #[test]
    fn dockers_paths_are_told_from_others() {
        for path in ["/build", "/containers/a/checkpoints", "/plugins"] {
            assert!(lacking(path).is_some(), "{path}");
        }
        for path in ["/", "/nothing", "/containers", "/containers/a/nothing", "/images", "/buildx"] {
            assert!(lacking(path).is_none(), "{path}");
        }
    }
}
