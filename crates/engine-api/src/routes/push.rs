//! `POST /images/{name}/push`: a push with its progress as a stream of JSON messages.

use axum::extract::Request;
use axum::response::Response;
use images::{Push, PushProgress, Pushed};
use serde_json::{Value, json};
use types::{Reference, ReferenceError};

use crate::error::{Answer, ApiError};
use crate::messages;
use crate::params::Params;
use crate::registry_auth;
use crate::state::Api;

pub(super) async fn push(api: &Api, name: &str, params: &Params, request: Request) -> Answer<Response> {
    let (parts, body) = request.into_parts();
    let credentials = registry_auth::credentials_or_body(&parts.headers, body).await?;
    let (reference, all_tags) = reference(name, params.text("tag"))?;
    let platform = params.text("platform").map(platform).transpose()?;
    let push = Push { reference, all_tags, platform, credentials };

    let engine = api.engine.clone();
    let work = |progress, cancel| async move { engine.push(push, progress, cancel).await };
    messages::stream_of(api, work, message_json).await
}

/// Without a tag all of them are meant, as in Docker.
fn reference(name: &str, tag: Option<&str>) -> Result<(Reference, bool), ApiError> {
    let bad = |error: ReferenceError| ApiError::bad(error.to_string());
    let named: Reference = name.parse().map_err(bad)?;
    if let Some(tag) = tag {
        let whole = format!("{}/{}:{tag}", named.registry(), named.repository());
        return Ok((whole.parse().map_err(bad)?, false));
    }
    let last = name.rsplit('/').next().unwrap_or(name);
    Ok((named, !last.contains([':', '@'])))
}

/// JSON since 1.46, when the parameter came to be: `{"os":"linux","architecture":"arm64"}`.
fn platform(text: &str) -> Result<images::Platform, ApiError> {
    let value: Value = serde_json::from_str(text)
        .map_err(|error| ApiError::bad(format!("failed to parse platform: {error}")))?;
    let part = |name: &str| value.get(name).and_then(Value::as_str).filter(|part| !part.is_empty());
    let (Some(os), Some(architecture)) = (part("os"), part("architecture")) else {
        return Err(ApiError::bad("both OS and Architecture must be provided"));
    };
    let variant = part("variant").map(|variant| format!("/{variant}")).unwrap_or_default();
    let parsed = format!("{os}/{architecture}{variant}").parse::<images::Platform>();
    parsed.map_err(|error| ApiError::bad(error.to_string()))
}

fn message_json(message: &PushProgress) -> Value {
    match message {
        PushProgress::Line(progress) => messages::progress(progress),
        PushProgress::Pushed(Pushed { tag, digest, size_bytes }) => json!({
            "progressDetail": {},
            "aux": { "Tag": tag, "Digest": digest.to_string(), "Size": size_bytes },
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_or_all_of_them() {
        for (name, tag, whole, all) in [
            ("busybox", Some("1"), "busybox:1", false),
            ("r:5000/a/b", Some("x"), "r:5000/a/b:x", false),
            ("r:5000/a/b:old", Some("x"), "r:5000/a/b:x", false),
            ("r:5000/a/b", None, "r:5000/a/b:latest", true),
            ("r:5000/a/b:x", None, "r:5000/a/b:x", false),
        ] {
            let (reference, every) = reference(name, tag).unwrap();
            assert_eq!((reference.familiar().as_str(), every), (whole, all), "{name} {tag:?}");
        }
        assert!(reference("A", None).is_err() && reference("a", Some("-")).is_err());
    }

    #[test]
    fn platforms_are_json() {
        let read = |text| platform(text).map(|platform| platform.to_string());
        assert_eq!(read(r#"{"os":"linux","architecture":"arm","variant":"v7"}"#).unwrap(), "linux/arm/v7");
        assert!(read(r#"{"os":"linux"}"#).unwrap_err().message.contains("Architecture"));
        assert!(read("linux/arm64").unwrap_err().message.starts_with("failed to parse platform"));
    }

    #[test]
    fn the_end_is_told_beside_the_display() {
        let digest = types::Digest::of(b"x");
        let pushed = PushProgress::Pushed(Pushed { tag: "t".into(), digest, size_bytes: 7 });
        assert_eq!(message_json(&pushed)["aux"]["Size"], 7);
        assert_eq!(message_json(&pushed)["aux"]["Digest"], digest.to_string());
    }
}
