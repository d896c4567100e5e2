//! `/coracle/lab`: VM and container side by side.

use std::time::Duration;

pub use ::lab::{report, verdict};
use hyper::Method;

use self::report::{Event, Report};
use crate::browse::percent_encoded;
use crate::client::SHORT;
use crate::http::{self, Lines};
use crate::{CallError, Client};

/// Until the first event, which comes at once.
const BEGIN: Duration = Duration::from_secs(60);

impl Client {
    /// Measures, `rounds` times each start, and tells how far it is; without an image, the bundled one. Dropping the
    /// answer ends it.
    pub async fn lab(&self, image: Option<&str>, rounds: Option<u32>) -> Result<LabRun, CallError> {
        let mut path = "/coracle/lab".to_owned();
        let image = image.map(|name| format!("image={}", percent_encoded(name.as_bytes())));
        let rounds = rounds.map(|count| format!("rounds={count}"));
        for (parameter, before) in image.into_iter().chain(rounds).zip(['?', '&']) {
            path.push(before);
            path.push_str(&parameter);
        }
        let answer = http::send(&self.endpoint().socket(), Method::POST, &path, BEGIN).await?;
        Ok(LabRun { lines: answer.into_lines() })
    }

    /// The last report.
    pub async fn lab_report(&self) -> Result<Report, CallError> {
        http::send(&self.endpoint().socket(), Method::GET, "/coracle/lab", SHORT).await?.json(SHORT).await
    }
}

/// A run of the Lab.
pub struct LabRun {
    lines: Lines,
}

impl LabRun {
    /// What it tells next; its last word is the report or why there is none. None when coracled has gone.
    pub async fn next(&mut self) -> Result<Option<Event>, CallError> {
        self.lines.next().await
    }
}
