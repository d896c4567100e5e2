//! `coracle push`.

use bollard::query_parameters::PushImageOptionsBuilder;
use futures::StreamExt as _;

use crate::args::Push;
use crate::exit::{Exit, Failure};
use crate::output::{Output, line};

pub(crate) async fn run(push: Push, out: Output) -> Result<Exit, Failure> {
    if push.image.contains('@') {
        return Err(Failure::new("cannot push a digest reference"));
    }
    let docker = super::connect().await?.docker()?;
    let (name, tag) = super::names::split(&push.image);
    let tag = match (tag, push.all_tags) {
        (Some(_), true) => return Err(Failure::new("tag can't be used with --all-tags/-a")),
        (None, true) => None,
        (tag, false) => Some(tag.unwrap_or("latest")),
    };
    let mut options = PushImageOptionsBuilder::new();
    if let Some(tag) = tag {
        options = options.tag(tag);
    }
    let mut messages = Box::pin(docker.push_image(name, Some(options.build()), None));
    let mut last = String::new();
    while let Some(message) = messages.next().await {
        let message = message?;
        if push.quiet {
            continue;
        }
        if out.json {
            line(&serde_json::to_string(&message)?)?;
            continue;
        }
        // The client's library drops the layers' ids: one line for each change says as much.
        let status = message.status.unwrap_or_default();
        if !status.is_empty() && status != last {
            eprintln!("{status}");
            last = status;
        }
    }
    if push.quiet {
        line(&push.image)?;
    }
    Ok(Exit::OK)
}
