//! `GET /images/search`: repositories of a registry by a word.

use axum::extract::State;
use axum::routing::get;
use axum::{Json, Router};
use bollard_stubs::models::ImageSearchResponseItem;
use http::HeaderMap;
use images::{Found, Search};

use crate::error::{Answer, ApiError};
use crate::params::{Filters, Params};
use crate::registry_auth;
use crate::state::Api;

/// What Docker Engine asks for when the client does not say.
const DEFAULT_LIMIT: u8 = 25;

pub(super) fn routes() -> Router<Api> {
    Router::new().route("/images/search", get(search))
}

async fn search(
    State(api): State<Api>,
    params: Params,
    headers: HeaderMap,
) -> Answer<Json<Vec<ImageSearchResponseItem>>> {
    let wanted = Wanted::read(&params.filters()?)?;
    let limit = limit(params.text("limit"))?;
    // A kind of repository that Docker Hub has given up.
    if wanted.automated {
        return Ok(Json(Vec::new()));
    }
    let term = params.text("term").unwrap_or_default().to_owned();
    let credentials = registry_auth::credentials(&headers);
    let found = api.engine.search(&Search { term, limit }, credentials).await?;
    Ok(Json(found.into_iter().filter(|found| wanted.fits(found)).map(item).collect()))
}

fn limit(text: Option<&str>) -> Result<u8, ApiError> {
    let Some(text) = text else { return Ok(DEFAULT_LIMIT) };
    let limit: i64 = text.parse().map_err(|_| ApiError::bad(format!("invalid limit specified: {text:?}")))?;
    match limit {
        0 => Ok(DEFAULT_LIMIT),
        1..=100 => Ok(u8::try_from(limit).unwrap_or(DEFAULT_LIMIT)),
        _ => Err(ApiError::bad(format!("limit {limit} is outside the range of [1, 100]"))),
    }
}

/// The filters.
#[derive(Debug, Default, PartialEq, Eq)]
struct Wanted {
    automated: bool,
    official: Option<bool>,
    stars: i64,
}

impl Wanted {
    fn read(filters: &Filters) -> Result<Self, ApiError> {
        let mut wanted = Self::default();
        for (name, values) in filters {
            let bad = |value: &str| ApiError::bad(format!("invalid filter '{name}={value}'"));
            let truth = || -> Result<bool, ApiError> {
                let each = values.iter().map(|value| match value.as_str() {
                    "1" | "true" => Ok(true),
                    "0" | "false" => Ok(false),
                    other => Err(bad(other)),
                });
                let each = each.collect::<Result<Vec<_>, _>>()?;
                match each.as_slice() {
                    [] => Err(bad("")),
                    [first, rest @ ..] if rest.iter().all(|other| other == first) => Ok(*first),
                    _ => Err(bad(&values.join(","))),
                }
            };
            match name.as_str() {
                "is-automated" => wanted.automated = truth()?,
                "is-official" => wanted.official = Some(truth()?),
                "stars" => {
                    for value in values {
                        wanted.stars = wanted.stars.max(value.parse().map_err(|_| bad(value))?);
                    }
                }
                other => return Err(ApiError::bad(format!("invalid filter '{other}'"))),
            }
        }
        Ok(wanted)
    }

    fn fits(&self, found: &Found) -> bool {
        self.official.is_none_or(|official| official == found.official) && found.stars >= self.stars
    }
}

fn item(found: Found) -> ImageSearchResponseItem {
    ImageSearchResponseItem {
        description: Some(found.description),
        is_official: Some(found.official),
        is_automated: Some(false),
        name: Some(found.name),
        star_count: Some(found.stars),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_dockers() {
        assert_eq!(limit(None), Ok(25));
        assert_eq!(limit(Some("0")), Ok(25));
        assert_eq!(limit(Some("100")), Ok(100));
        for text in ["101", "-1"] {
            let expected = format!("limit {text} is outside the range of [1, 100]");
            assert_eq!(limit(Some(text)).unwrap_err().message, expected);
        }
        assert!(limit(Some("x")).is_err());
    }

    #[test]
    fn filters_are_read_and_kept_to() {
        let read = |pairs: &[(&str, &[&str])]| {
            let list = |values: &[&str]| values.iter().map(|v| (*v).to_owned()).collect();
            Wanted::read(&pairs.iter().map(|(name, values)| ((*name).to_owned(), list(values))).collect())
        };
        let wanted = read(&[("is-official", &["true"]), ("stars", &["3", "10"])]).unwrap();
        let found = |official, stars| Found { name: "n".into(), description: String::new(), official, stars };
        assert!(wanted.fits(&found(true, 10)));
        assert!(!wanted.fits(&found(true, 9)) && !wanted.fits(&found(false, 10)));
        for (name, value) in [("stars", "x"), ("is-official", "maybe"), ("nothing", "1")] {
            assert!(read(&[(name, &[value])]).unwrap_err().message.starts_with("invalid filter"), "{name}");
        }
    }
}
