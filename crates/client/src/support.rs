//! The support bundle: what a person sends along with a question, as a tar.gz without secrets.

use bytes::Bytes;
use hyper::{Method, header::CONTENT_DISPOSITION};

use crate::{
    CallError, Client,
    client::PROBE,
    http::{self, Answer},
};

impl Client {
    /// Has coracled gather it.
    pub async fn support_bundle(&self) -> Result<SupportBundle, CallError> {
        let path = "/coracle/support-bundle";
        let answer = http::send(&self.endpoint().socket(), Method::GET, path, PROBE).await?;
        Ok(SupportBundle { answer })
    }
}

/// A bundle that is being read.
pub struct SupportBundle {
    answer: Answer,
}

impl SupportBundle {
    /// A name for the file, in which the time stands.
    #[must_use]
    pub fn file_name(&self) -> String {
        let value = self.answer.headers.get(CONTENT_DISPOSITION).and_then(|value| value.to_str().ok());
        value.and_then(name_in).unwrap_or("coracle-support.tar.gz").to_owned()
    }

    /// The next piece; none at its end.
    pub async fn piece(&mut self) -> Result<Option<Bytes>, CallError> {
        self.answer.piece().await
    }
}

/// A plain name in `attachment; filename="…"`, never a path.
fn name_in(disposition: &str) -> Option<&str> {
    let name = disposition.split_once("filename=\"")?.1.split('"').next()?;
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    (!name.is_empty() && !name.starts_with('.') && name.chars().all(plain)).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_no_path() {
        for (text, name) in [
            ("attachment; filename=\"coracle-support-1.tar.gz\"", Some("coracle-support-1.tar.gz")),
            ("attachment; filename=\"../x\"", None),
            ("attachment; filename=\".bashrc\"", None),
            ("attachment", None),
        ] {
            assert_eq!(name_in(text), name, "{text}");
        }
    }
}
