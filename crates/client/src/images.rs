//! What is asked of images beside Docker's own calls: where `bollard` leaves something out that coracled tells.

use hyper::Method;
use serde::Deserialize;

use crate::browse::percent_encoded;
use crate::client::{Client, PROBE};
use crate::http::{self, Lines};
use crate::{CallError, ImageFile};

/// A line of a pull or a push.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TransferStep {
    /// The layer's short id; none for what concerns the whole image.
    pub layer: Option<String>,
    /// What is done with it.
    pub status: String,
    /// Bytes done.
    pub current_bytes: Option<u64>,
    /// Of so many.
    pub total_bytes: Option<u64>,
}

/// A push as it goes on. Dropping it cancels the push.
pub struct ImagePush {
    lines: Lines,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Line {
    id: Option<String>,
    status: Option<String>,
    #[serde(default)]
    progress_detail: Detail,
    error: Option<String>,
}

#[derive(Default, Deserialize)]
struct Detail {
    current: Option<u64>,
    total: Option<u64>,
}

impl ImagePush {
    /// The next step; none at the end.
    pub async fn next(&mut self) -> Result<Option<TransferStep>, CallError> {
        loop {
            let Some(line) = self.lines.next::<Line>().await? else { return Ok(None) };
            if let Some(message) = line.error {
                // What fails after the head has no status of its own any more.
                return Err(CallError::Refused { status: 500, message });
            }
            // What was pushed in the end is told beside, without a status.
            let Some(status) = line.status else { continue };
            let Detail { current, total } = line.progress_detail;
            return Ok(Some(TransferStep {
                layer: line.id,
                status,
                current_bytes: current,
                total_bytes: total,
            }));
        }
    }
}

impl Client {
    /// Everything that is known of an image, as coracled has it.
    pub async fn image_inspect(&self, image: &str) -> Result<serde_json::Value, CallError> {
        let path = format!("/images/{}/json", percent_encoded(image.as_bytes()));
        http::send(&self.endpoint().socket(), Method::GET, &path, PROBE).await?.json(PROBE).await
    }

    /// Pushes one tag of a name, or all of them; with the accounts that coracled keeps.
    pub async fn image_push(&self, name: &str, tag: Option<&str>) -> Result<ImagePush, CallError> {
        let mut path = format!("/images/{}/push", percent_encoded(name.as_bytes()));
        if let Some(tag) = tag {
            path.push_str(&format!("?tag={}", percent_encoded(tag.as_bytes())));
        }
        let body = "{}".into();
        let answer = http::send_body(&self.endpoint().socket(), Method::POST, &path, body, PROBE).await?;
        Ok(ImagePush { lines: answer.into_lines() })
    }

    /// An archive of images, as `docker save` writes it.
    pub async fn images_save(&self, names: &[String]) -> Result<ImageFile, CallError> {
        let names: Vec<_> =
            names.iter().map(|name| format!("names={}", percent_encoded(name.as_bytes()))).collect();
        let path = format!("/images/get?{}", names.join("&"));
        let answer = http::send(&self.endpoint().socket(), Method::GET, &path, PROBE).await?;
        Ok(ImageFile { answer })
    }
}
