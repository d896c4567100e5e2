//! `docker diff`, and what containers take on the data disk.

use std::collections::HashMap;

use agent_proto::v1;
use bollard_stubs::models::{ChangeType, FilesystemChange};
use types::ContainerId;

use crate::agent::{SLOW, call};
use crate::engine::Engine;
use crate::error::Error;

impl Engine {
    /// What a container changed of its image, sorted by path.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn changes(&self, name: &str) -> Result<Vec<FilesystemChange>, Error> {
        let record = self.find(name)?.now().record.clone();
        let layers = self.layers_of(&record).await?;
        let agent = self.shared().machine_of(&record).ensure_running().await?;
        let request = v1::ChangesRequest { container_id: record.id.to_string(), layers };
        let reply = call(SLOW, agent.grpc().changes(request))
            .await
            .map_err(|error| error.into_error("find what the container changed"))?;
        let change = |change: v1::Change| FilesystemChange {
            path: change.path,
            kind: match change.kind {
                1 => ChangeType::_1,
                2 => ChangeType::_2,
                _ => ChangeType::_0,
            },
        };
        Ok(reply.changes.into_iter().map(change).collect())
    }

    /// Bytes that containers have written, as far as a running VM tells.
    pub(crate) async fn written_bytes(&self, containers: &[ContainerId]) -> HashMap<String, i64> {
        let mut written = HashMap::new();
        let wanted = containers.iter().map(ToString::to_string).collect();
        for (agent, container_ids) in self.shared().by_agent(wanted) {
            let request = v1::DiskUsageRequest { container_ids, ..v1::DiskUsageRequest::default() };
            match call(SLOW, agent.grpc().disk_usage(request)).await {
                Ok(reply) => {
                    let bytes = |bytes: u64| i64::try_from(bytes).unwrap_or(i64::MAX);
                    written.extend(reply.containers.into_iter().map(|(id, count)| (id, bytes(count))));
                }
                Err(error) => tracing::warn!(?error, "sizes of containers"),
            }
        }
        written
    }
}
