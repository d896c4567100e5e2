//! `docker commit`: an image of a container's files and its configuration.

use bollard_stubs::models::{ContainerConfig, HealthConfig, ImageConfig};
use images::Step;
use serde_json::Value;
use types::Reference;

use super::tar_end::Whole;
use super::{Refusal, dockerfile};
use crate::engine::Engine;
use crate::error::{Error, Invalid};
use crate::record::Record;
use crate::state::State;
use crate::time::{now_unix_ns, rfc3339};

/// What the image is to be.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct CommitOptions {
    /// The repository that is to lead to it.
    pub repository: Option<String>,
    /// The tag; `latest` unless said otherwise.
    pub tag: Option<String>,
    /// A remark.
    pub comment: String,
    /// Who.
    pub author: String,
    /// Freeze the container meanwhile.
    pub pause: bool,
    /// Instructions of a Dockerfile.
    pub changes: Vec<String>,
    /// What goes before the container's own configuration.
    pub config: Option<ContainerConfig>,
}

impl Engine {
    /// Makes an image of a container; answers with its id.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn commit(&self, name: &str, options: CommitOptions) -> Result<String, Error> {
        let (engine, name) = (self.clone(), name.to_owned());
        self.to_the_end(async move { engine.commit_now(&name, options).await }).await
    }

    async fn commit_now(&self, name: &str, options: CommitOptions) -> Result<String, Error> {
        let record = self.find(name)?.now().record.clone();
        match record.state {
            State::Dead { .. } => return Err(Refusal::Dead(record.id.to_string()).into()),
            State::Removing(_) => return Err(Refusal::Removing(record.id.to_string()).into()),
            _ => {}
        }
        let reference = reference(&options)?;
        let mut config = image_config(options.config.clone().unwrap_or_default());
        dockerfile::apply(&mut config, &options.changes)?;
        merge(&mut config, image_config(record.config.clone()));
        let pause = options.pause && matches!(record.state, State::Running(_));
        if pause {
            self.pause(record.id.as_str()).await?;
        }
        let made = self.image_of(&record, name, &options, &config, reference.clone()).await;
        if pause && let Err(error) = self.unpause(record.id.as_str()).await {
            // It may have been killed meanwhile.
            tracing::warn!(container_id = record.id.short(), %error, "not thawed behind a commit");
        }
        let id = made?;
        let named = reference.as_ref().map(Reference::familiar).unwrap_or_default();
        if let Some(reference) = &reference {
            self.shared().events.image("tag", id.clone(), &reference.familiar());
        }
        let told = [("comment", options.comment), ("imageID", id.clone()), ("imageRef", named)];
        self.shared().events.container(&record, "commit", &told);
        Ok(id)
    }

    async fn image_of(
        &self,
        record: &Record,
        name: &str,
        options: &CommitOptions,
        config: &ImageConfig,
        reference: Option<Reference>,
    ) -> Result<String, Error> {
        let failed = |why: String| Refusal::Commit { container: record.id.to_string(), why };
        let tar = self.export_stream(record, name, true).await?;
        let config: Value = serde_json::to_value(config).map_err(|error| failed(error.to_string()))?;
        let step = Step {
            config,
            created: rfc3339(now_unix_ns()),
            author: options.author.clone(),
            comment: options.comment.clone(),
            created_by: record.config.cmd.as_deref().unwrap_or_default().join(" "),
        };
        let made = self.shared().images.commit(&record.image, Whole::new(tar), step, reference).await;
        Ok(made.map_err(|error| failed(error.to_string()))?.id.to_string())
    }
}

fn reference(options: &CommitOptions) -> Result<Option<Reference>, Error> {
    let Some(repository) = options.repository.as_deref().filter(|name| !name.is_empty()) else {
        return Ok(None);
    };
    let tag = options.tag.as_deref().filter(|tag| !tag.is_empty());
    let text = tag.map_or_else(|| repository.to_owned(), |tag| format!("{repository}:{tag}"));
    let reference: Reference = text.parse().map_err(Invalid::Reference)?;
    if reference.tag().is_none() {
        return Err(Refusal::Change("cannot create a tag from a digest reference".to_owned()).into());
    }
    Ok(Some(reference))
}

/// The part of a container's configuration that an image can have.
fn image_config(config: ContainerConfig) -> ImageConfig {
    ImageConfig {
        user: config.user,
        exposed_ports: config.exposed_ports,
        env: config.env,
        cmd: config.cmd,
        healthcheck: config.healthcheck,
        args_escaped: config.args_escaped,
        volumes: config.volumes,
        working_dir: config.working_dir,
        entrypoint: config.entrypoint,
        on_build: config.on_build,
        labels: config.labels,
        stop_signal: config.stop_signal,
        shell: config.shell,
    }
}

/// Docker's `merge`: what the new configuration lacks comes from the container's.
fn merge(new: &mut ImageConfig, old: ImageConfig) {
    let text = |new: &mut Option<String>, old: Option<String>| {
        if new.as_deref().unwrap_or_default().is_empty() {
            *new = old;
        }
    };
    let union = |new: &mut Option<Vec<String>>, old: Option<Vec<String>>| {
        for entry in old.into_iter().flatten() {
            let list = new.get_or_insert_default();
            if !list.contains(&entry) {
                list.push(entry);
            }
        }
    };
    text(&mut new.user, old.user);
    text(&mut new.working_dir, old.working_dir);
    text(&mut new.stop_signal, old.stop_signal);
    union(&mut new.exposed_ports, old.exposed_ports);
    union(&mut new.volumes, old.volumes);
    let key = |entry: &str| entry.split('=').next().unwrap_or_default().to_owned();
    for entry in old.env.into_iter().flatten() {
        let env = new.env.get_or_insert_default();
        if !env.iter().any(|present| key(present) == key(&entry)) {
            env.push(entry);
        }
    }
    for (label, value) in old.labels.into_iter().flatten() {
        new.labels.get_or_insert_default().entry(label).or_insert(value);
    }
    if new.entrypoint.as_ref().is_none_or(Vec::is_empty) {
        if new.cmd.as_ref().is_none_or(Vec::is_empty) {
            new.cmd = old.cmd;
            new.args_escaped = old.args_escaped;
        }
        if new.entrypoint.is_none() {
            new.entrypoint = old.entrypoint;
        }
    }
    if let Some(old) = old.healthcheck {
        let given = new.healthcheck.take().unwrap_or_default();
        let number = |new: Option<i64>, old: Option<i64>| new.filter(|&n| n != 0).or(old);
        new.healthcheck = Some(HealthConfig {
            test: given.test.filter(|test| !test.is_empty()).or(old.test),
            interval: number(given.interval, old.interval),
            timeout: number(given.timeout, old.timeout),
            retries: number(given.retries, old.retries),
            start_period: number(given.start_period, old.start_period),
            start_interval: number(given.start_interval, old.start_interval),
        });
    }
    new.shell = new.shell.take().or(old.shell);
    new.on_build = new.on_build.take().or(old.on_build);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lacks_comes_from_the_container() {
        let list = |words: &[&str]| Some(words.iter().map(|&w| w.to_owned()).collect::<Vec<_>>());
        let mut new = ImageConfig { env: list(&["A=2"]), cmd: list(&["new"]), ..ImageConfig::default() };
        let old = ImageConfig {
            env: list(&["A=1", "B=1"]),
            cmd: list(&["old"]),
            user: Some("me".into()),
            exposed_ports: list(&["80/tcp"]),
            ..ImageConfig::default()
        };
        merge(&mut new, old);
        assert_eq!(new.env, list(&["A=2", "B=1"]));
        assert_eq!((new.cmd, new.user.as_deref()), (list(&["new"]), Some("me")));
        assert_eq!(new.exposed_ports, list(&["80/tcp"]));
    }

    #[test]
    fn names_become_references() {
        let options = |repository: &str, tag: &str| CommitOptions {
            repository: Some(repository.into()),
            tag: Some(tag.into()),
            ..CommitOptions::default()
        };
        assert_eq!(reference(&CommitOptions::default()).unwrap(), None);
        assert_eq!(reference(&options("a/b", "1")).unwrap().unwrap().familiar(), "a/b:1");
        assert_eq!(reference(&options("a", "")).unwrap().unwrap().familiar(), "a:latest");
        assert!(reference(&options("A", "")).is_err());
    }
}
