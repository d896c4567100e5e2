//! `docker top`: the guest's processes, as `ps` would print them.

use agent_proto::v1;
use bollard_stubs::models::ContainerTopResponse;

use super::ps;
use crate::agent::{QUICK, call};
use crate::engine::Engine;
use crate::error::{Error, StateConflict};
use crate::state::State;
use crate::time::now_unix_ns;

impl Engine {
    /// The processes of a running container, with `ps`'s arguments.
    ///
    /// # Errors
    /// [`Error`]; arguments of `ps` that are not understood.
    pub async fn top(&self, name: &str, arguments: Option<&str>) -> Result<ContainerTopResponse, Error> {
        let columns = ps::columns(arguments.unwrap_or("-ef"))?;
        let view = self.find(name)?.now();
        match &view.record.state {
            State::Running(_) | State::Paused(_) => {}
            State::Restarting(_) => {
                return Err(StateConflict::Restarting(view.record.id.to_string()).into());
            }
            _ => return Err(StateConflict::NotRunning(view.record.id.to_string()).into()),
        }
        let agent = self.shared().agent_of(&view.record, "list processes").await?;
        let request = v1::TopRequest { container_id: view.record.id.to_string() };
        let reply = call(QUICK, agent.grpc().top(request))
            .await
            .map_err(|error| error.into_error("list processes"))?;
        let when = ps::When { now_unix_ms: now_unix_ns() / 1_000_000, memory_bytes: reply.mem_total_bytes };
        self.shared().events.container(&view.record, "top", &[]);
        Ok(ContainerTopResponse {
            titles: Some(columns.iter().map(|column| column.title.clone()).collect()),
            processes: Some(reply.processes.iter().map(|process| ps::row(&columns, process, when)).collect()),
        })
    }
}
