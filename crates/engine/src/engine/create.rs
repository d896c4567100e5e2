//! Creation.

use bollard_stubs::models::{ContainerCreateBody, ContainerCreateResponse};
use types::ContainerId;

use super::Engine;
use crate::check::{check, image_config};
use crate::error::{Error, ImagesError, Invalid};
use crate::mounts::Wanted;
use crate::names;
use crate::record::{LabMark, Record};
use crate::spec;
use crate::state::State;
use crate::task::Task;
use crate::time::now_unix_ns;

impl Engine {
    /// Creates a container of an image that is here. Prepares its start in the background when the VM runs.
    ///
    /// # Errors
    /// [`Error`], by kind: the image is missing, the name is taken, something asked for cannot be honoured.
    pub async fn create(
        &self,
        name: Option<&str>,
        body: ContainerCreateBody,
        platform: Option<&str>,
    ) -> Result<ContainerCreateResponse, Error> {
        self.create_for(name, body, platform, None).await
    }

    /// As [`Engine::create`]; with a mark, for the Lab.
    pub(crate) async fn create_for(
        &self,
        name: Option<&str>,
        body: ContainerCreateBody,
        platform: Option<&str>,
        lab: Option<LabMark>,
    ) -> Result<ContainerCreateResponse, Error> {
        let name = name.filter(|name| !name.is_empty()).map(names::parse).transpose()?;
        let image_name = body.image.clone().filter(|image| !image.is_empty()).ok_or(Invalid::NoImage)?;
        // The image stays until the container is there to keep it.
        let turn = std::sync::Arc::clone(&self.shared.image_turn).read_owned().await;
        let image = self.shared.images.get(&image_name).await.map_err(not_found)?;
        fits(&image, &image_name, platform)?;
        let asked = body.networking_config.as_ref().and_then(|config| config.endpoints_config.clone());
        let checked = check(body, image_config(&image.config_json))?;
        let find = |name: &str| self.shared.networks.find(name).ok();
        let asked = asked.unwrap_or_default();
        let networks = crate::network::attachments(&checked.config, &checked.host_config, asked, find)?;
        let id = ContainerId::random();
        let mut record = Record {
            id: id.clone(),
            name: String::new(),
            created_unix_ns: now_unix_ns(),
            config: checked.config,
            host_config: checked.host_config,
            image: image.id,
            command: checked.command,
            state: State::Created { failure: None },
            restarts: 0,
            stopped_by_user: false,
            started_unix_ns: 0,
            finished_unix_ns: 0,
            mounts: Vec::new(),
            networks,
            ports: Vec::new(),
            lab,
        };
        if record.config.hostname.as_deref().unwrap_or_default().is_empty() {
            record.config.hostname = Some(id.short().to_owned());
        }
        spec::check(&record)?;
        let (mounts, discarded) = self.planned(&record)?;
        crate::own_vm::check(&record)?;
        let foreign = if platform.is_some() { None } else { foreign(&image) };
        let warnings = checked.warnings.into_iter().chain(discarded).chain(foreign).collect();
        let engine = self.clone();
        self.to_the_end(async move {
            let stored = engine.store_new(name, record, mounts).await;
            drop(turn);
            stored
        })
        .await?;
        Ok(ContainerCreateResponse { id: id.to_string(), warnings })
    }

    /// A name that is taken, and a record in the database, must not be without their container.
    async fn store_new(
        &self,
        name: Option<String>,
        mut record: Record,
        mounts: Vec<Wanted>,
    ) -> Result<(), Error> {
        record.name = self.take_name(name, &record.id)?;
        if let Err(error) = self.take_mounts(&mut record, mounts).await {
            self.shared.registry.release(&record.name, &record.id);
            return Err(error);
        }
        if let Err(error) = self.shared.db.put(&record).await {
            self.shared.registry.release(&record.name, &record.id);
            super::volumes::released(&self.shared, &record, true).await;
            return Err(error.into());
        }
        self.shared.events.container(&record, "create", &[]);
        Task::spawn(&self.shared, record);
        Ok(())
    }

    fn take_name(&self, name: Option<String>, id: &ContainerId) -> Result<String, Error> {
        if let Some(name) = name {
            self.shared.registry.reserve(&name, id)?;
            return Ok(name);
        }
        let mut attempt = 0;
        loop {
            let name = names::generate(attempt);
            if self.shared.registry.reserve(&name, id).is_ok() {
                return Ok(name);
            }
            attempt += 1;
        }
    }
}

fn fits(image: &images::Image, name: &str, platform: Option<&str>) -> Result<(), Error> {
    let Some(text) = platform.filter(|text| !text.is_empty()) else { return Ok(()) };
    let platform: images::Platform = text.parse().map_err(|_| Invalid::Field {
        field: "platform",
        given: text.to_owned(),
        why: "not os/arch",
    })?;
    let config = &image.config;
    if platform.os == config.os().to_string() && platform.architecture == config.architecture().to_string() {
        return Ok(());
    }
    // Not "No such image: name": it is here, for another machine. Clients pull on a 404.
    Err(Error::NoSuchImage(format!(
        "{name} for platform {platform}: the one here is for {}/{}",
        config.os(),
        config.architecture()
    )))
}

/// Docker's warning on an image of another kind of machine, whose programs will not start.
fn foreign(image: &images::Image) -> Option<String> {
    let (host, image) = (images::Platform::guest(), image.platform());
    (!host.runs(&image)).then(|| {
        format!(
            "The requested image's platform ({image}) does not match the detected host platform ({host}) \
             and no specific platform was requested"
        )
    })
}

pub(crate) fn not_found(error: images::LookupError) -> Error {
    match error {
        images::LookupError::NotFound(name) => Error::NoSuchImage(name),
        images::LookupError::Invalid(error) => Error::Invalid(Invalid::Reference(error)),
        other => Error::Images(std::sync::Arc::new(ImagesError::Lookup(other))),
    }
}
