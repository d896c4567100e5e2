//! New limits.

use bollard_stubs::models::{ContainerUpdateBody, ContainerUpdateResponse};

use super::{Engine, ask};
use crate::error::Error;
use crate::task::Command;
use crate::verbs::update;

impl Engine {
    /// Changes limits and restart policy, at once where it runs.
    ///
    /// # Errors
    /// [`Error`]; limits that make no sense, or that the kernel refuses.
    pub async fn update(
        &self,
        name: &str,
        request: ContainerUpdateBody,
    ) -> Result<ContainerUpdateResponse, Error> {
        let handle = self.find(name)?;
        update::check(&request, self.cpus().await)?;
        let mut warnings = update::warnings(&request);
        let (name, asked) = (name.to_owned(), handle.clone());
        self.to_the_end(async move {
            ask(&asked, &name, |reply| Command::Update(Box::new(request), reply)).await
        })
        .await?;
        warnings.extend(self.shared.own_vms.too_small(&handle.now().record));
        Ok(ContainerUpdateResponse { warnings: Some(warnings) })
    }

    /// The VM's processors, while it runs.
    async fn cpus(&self) -> Option<u32> {
        let agent = self.shared.machine.agent()?;
        let mut grpc = agent.grpc();
        let info = crate::agent::call(crate::agent::QUICK, grpc.info(agent_proto::v1::InfoRequest {}));
        Some(info.await.ok()?.cpus)
    }
}
