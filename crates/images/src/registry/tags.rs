//! `GET tags/list` (distribution-spec, "Listing Tags"), page by page.

use reqwest::header::LINK;
use reqwest::{Method, Response, Url};
use serde::Deserialize;

use super::Session;
use super::answer::limited;
use super::send::Call;
use crate::PullError;

const PAGE: usize = 1000;
const PAGE_LIMIT_BYTES: u64 = 8 << 20;
/// More than any repository has; a registry that goes round in circles ends here.
const MOST_PAGES: usize = 1000;

#[derive(Deserialize)]
struct Page {
    tags: Option<Vec<String>>,
}

impl Session {
    /// All tags of the repository, as the registry orders them.
    pub(crate) async fn tags(&self) -> Result<Vec<String>, PullError> {
        let first = format!("tags/list?n={PAGE}");
        let mut response = self.send(&Call::new(Method::GET, first)).await?;
        let mut tags = Vec::new();
        for _ in 0..MOST_PAGES {
            if !response.status().is_success() {
                return Err(self.refusal(response, "the list of tags").await);
            }
            let next = next(&response);
            let bytes = limited(response, "list of tags", PAGE_LIMIT_BYTES, &self.host()).await?;
            let page: Page = serde_json::from_slice(&bytes).map_err(|error| PullError::Malformed {
                what: format!("list of tags of {}", self.host()),
                detail: error.to_string(),
            })?;
            tags.extend(page.tags.unwrap_or_default());
            let Some(next) = next else { return Ok(tags) };
            response = self.send(&Call::new(Method::GET, next.as_str())).await?;
        }
        Err(PullError::Malformed { what: "list of tags".into(), detail: "it has no end".into() })
    }
}

/// `Link: </v2/a/tags/list?n=1000&last=x>; rel="next"` (RFC 8288). Another host is not followed.
fn next(response: &Response) -> Option<Url> {
    let links = response.headers().get_all(LINK).iter().filter_map(|value| value.to_str().ok());
    let target = links.flat_map(|text| text.split(',')).find_map(target)?;
    let url = response.url().join(&target).ok()?;
    (url.origin() == response.url().origin()).then_some(url)
}

fn target(link: &str) -> Option<String> {
    let (target, parameters) = link.trim().strip_prefix('<')?.split_once('>')?;
    let next = parameters.split(';').any(|parameter| {
        let parameter: String = parameter.chars().filter(|c| !c.is_whitespace() && *c != '"').collect();
        parameter.eq_ignore_ascii_case("rel=next")
    });
    next.then(|| target.to_owned())
}

#[cfg(test)]
mod tests {
    use super::target;

    #[test]
    fn links_to_the_next_page() {
        assert_eq!(
            target(r#"</v2/a/tags/list?last=b&n=2>; rel="next""#).unwrap(),
            "/v2/a/tags/list?last=b&n=2"
        );
        assert_eq!(target("<x>;rel=next").unwrap(), "x");
        for text in [r#"<x>; rel="prev""#, "x; rel=next", "<x", ""] {
            assert_eq!(target(text), None, "{text}");
        }
    }
}
