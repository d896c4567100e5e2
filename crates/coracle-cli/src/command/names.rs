//! `coracle tag`, `rmi` and `history`.

use bollard::errors::Error as DockerError;
use bollard::models::ImageDeleteResponseItem;
use bollard::query_parameters::{RemoveImageOptionsBuilder, TagImageOptionsBuilder};

use crate::args::{History, Rmi};
use crate::exit::{Exit, Failure};
use crate::output::{Output, ago, line, size, table};

pub(crate) async fn tag(source: &str, target: &str) -> Result<Exit, Failure> {
    if target.contains('@') {
        return Err(Failure::new("refusing to create a tag with a digest reference"));
    }
    let (repository, tag) = split(target);
    let options = TagImageOptionsBuilder::new().repo(repository).tag(tag.unwrap_or("latest")).build();
    super::connect().await?.docker()?.tag_image(source, Some(options)).await?;
    Ok(Exit::OK)
}

/// A name and its tag. A registry's port is no tag.
pub(super) fn split(name: &str) -> (&str, Option<&str>) {
    match name.rsplit_once(':') {
        Some((repository, tag)) if !tag.contains('/') => (repository, Some(tag)),
        _ => (name, None),
    }
}

/// As docker's: one that fails does not keep the others; with force, one that is not there is no failure.
pub(crate) async fn remove(rmi: Rmi, out: Output) -> Result<Exit, Failure> {
    let docker = super::connect().await?.docker()?;
    let options = RemoveImageOptionsBuilder::new().force(rmi.force).noprune(rmi.no_prune).build();
    let mut exit = Exit::OK;
    for image in &rmi.images {
        match docker.remove_image(image, Some(options.clone()), None).await {
            Ok(removed) => removed.into_iter().try_for_each(|item| told(&item, out))?,
            Err(error) => {
                let missing =
                    matches!(error, DockerError::DockerResponseServerError { status_code: 404, .. });
                if !(rmi.force && missing) {
                    exit = Exit::FAILED;
                }
                Failure::from(error).print(out.json);
            }
        }
    }
    Ok(exit)
}

fn told(item: &ImageDeleteResponseItem, out: Output) -> Result<(), Failure> {
    if out.json {
        return line(&serde_json::to_string(item)?);
    }
    if let Some(name) = &item.untagged {
        line(&format!("Untagged: {name}"))?;
    }
    if let Some(id) = &item.deleted {
        line(&format!("Deleted: {id}"))?;
    }
    Ok(())
}

pub(crate) async fn history(history: History, out: Output) -> Result<Exit, Failure> {
    let found = super::connect().await?.docker()?.image_history(&history.image).await?;
    let id = |id: &str| {
        if history.no_trunc { id.to_owned() } else { super::containers::short(Some(id)).to_owned() }
    };
    if history.quiet {
        for step in &found {
            line(&id(&step.id))?;
        }
        return Ok(Exit::OK);
    }
    out.print(&found, |found| {
        let rows: Vec<_> = found
            .iter()
            .map(|step| {
                let created = if history.human { ago(step.created) } else { time(step.created) };
                let bytes = u64::try_from(step.size).unwrap_or_default();
                let by = step.created_by.replace('\t', " ");
                vec![
                    id(&step.id),
                    created,
                    if history.no_trunc { by } else { cut(&by) },
                    if history.human { size(bytes) } else { bytes.to_string() },
                    step.comment.clone(),
                ]
            })
            .collect();
        table(&["IMAGE", "CREATED", "CREATED BY", "SIZE", "COMMENT"], &rows)
    })?;
    Ok(Exit::OK)
}

fn time(unix_s: i64) -> String {
    jiff::Timestamp::from_second(unix_s).map_or_else(|_| unix_s.to_string(), |time| time.to_string())
}

/// Docker's width of the column.
fn cut(text: &str) -> String {
    const LONGEST: usize = 45;
    if text.chars().count() <= LONGEST {
        return text.to_owned();
    }
    text.chars().take(LONGEST - 1).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_no_tag() {
        assert_eq!(split("a/b:1"), ("a/b", Some("1")));
        assert_eq!(split("localhost:5000/b"), ("localhost:5000/b", None));
        assert_eq!(split("localhost:5000/b:1"), ("localhost:5000/b", Some("1")));
    }

    #[test]
    fn long_instructions_are_cut() {
        assert_eq!(cut("RUN true"), "RUN true");
        assert_eq!(cut(&"x".repeat(45)).chars().count(), 45);
        assert!(cut(&"x".repeat(46)).ends_with("x…"));
    }
}
