//! New limits and a new restart policy.

use agent_proto::v1;
use bollard_stubs::models::ContainerUpdateBody;

use super::Task;
use crate::agent::{CallError, SLOW, call};
use crate::error::{Error, StateConflict};
use crate::state::State;
use crate::verbs::{Refusal, update};

impl Task {
    /// A running container gets them first: what the kernel refuses is not stored.
    pub(super) async fn update(&mut self, request: &ContainerUpdateBody) -> Result<(), Error> {
        let container = self.record.id.to_string();
        if matches!(self.record.state, State::Removing(_) | State::Dead { .. }) {
            return Err(StateConflict::MarkedForRemoval.into());
        }
        let new = update::merged(&self.record.host_config, request)
            .map_err(|why| Refusal::Conflict { container: container.clone(), why })?;
        let resources = update::resources(&new, request).filter(|_| self.record.state.run().is_some());
        if let Some(resources) = resources {
            let agent = self.agent("update the container").await?;
            let request = v1::UpdateResourcesRequest {
                container_id: container.clone(),
                resources_json: resources.to_string().into_bytes(),
            };
            call(SLOW, agent.grpc().update_resources(request)).await.map_err(|error| match error {
                CallError::Refused(_, why) => Refusal::Kernel { container, why }.into(),
                other => other.into_error("update the container"),
            })?;
        }
        self.record.host_config = new;
        let stored = self.shared.db.put(&self.record).await;
        self.publish();
        stored?;
        self.event("update", &[]);
        Ok(())
    }
}
