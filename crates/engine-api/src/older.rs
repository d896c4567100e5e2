//! What clients of older API versions say and expect otherwise, as moby's handlers have it. Each rule stands
//! beside the version that ended it.

use bollard_stubs::models::{
    ContainerCreateBody, ContainerSummary, ContainerUpdateBody, EventMessage, EventMessageTypeEnum,
    ImageSummary, Mount, MountType, NetworkCreateRequest, SystemInfo,
};
use serde::Serialize;
use serde_json::{Value, json};

use crate::error::ApiError;
use crate::version::ApiVersion;

/// A creation as this version means it.
///
/// # Errors
/// What this version did not have yet, where leaving it out would be wrong.
pub(crate) fn create(version: ApiVersion, body: &mut ContainerCreateBody) -> Result<(), ApiError> {
    if version < ApiVersion::minor(44)
        && let Some(health) = &mut body.healthcheck
    {
        health.start_interval = None;
    }
    let endpoints = body.networking_config.as_mut().and_then(|config| config.endpoints_config.as_mut());
    if let Some(endpoints) = endpoints {
        if version < ApiVersion::minor(44) && endpoints.len() > 1 {
            let mut names: Vec<_> = endpoints.keys().map(String::as_str).collect();
            names.sort_unstable();
            let names = names.join(", ");
            let text = format!("Container cannot be created with multiple network endpoints: {names}");
            return Err(ApiError::bad(text));
        }
        for endpoint in endpoints.values_mut().filter(|_| version < ApiVersion::minor(48)) {
            endpoint.gw_priority = None;
        }
    }
    let Some(host) = &mut body.host_config else { return Ok(()) };
    if version < ApiVersion::minor(25) {
        host.auto_remove = None;
    }
    if version < ApiVersion::minor(40) && host.ipc_mode.as_deref().unwrap_or_default().is_empty() {
        host.ipc_mode = Some("shareable".to_owned());
    }
    if version < ApiVersion::minor(42) {
        host.console_size = None;
    }
    if version < ApiVersion::minor(43) {
        host.annotations = None;
    }
    host.mounts.iter_mut().flatten().try_for_each(|one| mount(version, one))
}

fn mount(version: ApiVersion, mount: &mut Mount) -> Result<(), ApiError> {
    if let Some(options) = &mut mount.bind_options {
        if version < ApiVersion::minor(40) {
            options.non_recursive = None;
        }
        if version < ApiVersion::minor(42) {
            options.create_mountpoint = None;
        }
        if version < ApiVersion::minor(44) && options.read_only_force_recursive == Some(true) {
            return Err(ApiError::bad("BindOptions.ReadOnlyForceRecursive needs API v1.44 or newer"));
        }
        options.read_only_non_recursive =
            options.read_only_non_recursive.filter(|_| version >= ApiVersion::minor(44));
    }
    if version < ApiVersion::minor(44) && mount.typ == Some(MountType::BIND) && mount.read_only == Some(true)
    {
        mount.bind_options.get_or_insert_default().read_only_non_recursive = Some(true);
    }
    if version < ApiVersion::minor(42) {
        // They were not looked at.
        if mount.typ != Some(MountType::VOLUME) {
            mount.volume_options = None;
        }
        if mount.typ != Some(MountType::TMPFS) {
            mount.tmpfs_options = None;
        }
    }
    let subpath = mount.volume_options.as_ref().and_then(|options| options.subpath.as_deref());
    if version < ApiVersion::minor(45) && subpath.is_some_and(|path| !path.is_empty()) {
        return Err(ApiError::bad("VolumeOptions.Subpath needs API v1.45 or newer"));
    }
    if version < ApiVersion::minor(48) && mount.typ == Some(MountType::IMAGE) {
        return Err(ApiError::bad(r#"Mount type "Image" needs API v1.48 or newer"#));
    }
    Ok(())
}

/// An update as this version means it.
pub(crate) fn update(version: ApiVersion, body: &mut ContainerUpdateBody) {
    if version < ApiVersion::minor(40) {
        body.pids_limit = None;
    }
}

/// A network's creation as this version means it.
pub(crate) fn network(version: ApiVersion, request: &mut NetworkCreateRequest) {
    if version < ApiVersion::minor(48) {
        request.enable_ipv4 = None;
    }
}

/// Listed containers as this version shows them.
pub(crate) fn containers(version: ApiVersion, containers: &mut [ContainerSummary]) {
    if version < ApiVersion::minor(46) {
        for host in containers.iter_mut().filter_map(|container| container.host_config.as_mut()) {
            host.annotations = None;
        }
    }
    if version < ApiVersion::minor(48) {
        containers.iter_mut().for_each(|container| container.image_manifest_descriptor = None);
    }
}

/// Listed images as this version shows them.
pub(crate) fn images(version: ApiVersion, mut images: Vec<ImageSummary>) -> Value {
    for image in &mut images {
        if version < ApiVersion::minor(43) && image.repo_tags.is_empty() && image.repo_digests.is_empty() {
            image.repo_tags.push("<none>:<none>".to_owned());
            image.repo_digests.push("<none>@<none>".to_owned());
        }
        if version < ApiVersion::minor(48) {
            image.descriptor = None;
        }
        if version < ApiVersion::minor(51) {
            image.containers = -1;
        }
    }
    with_virtual_sizes(version, json!(images))
}

/// `VirtualSize` beside each `Size`, as it was until 1.44.
pub(crate) fn with_virtual_sizes(version: ApiVersion, mut images: Value) -> Value {
    if version < ApiVersion::minor(44) {
        for image in images.as_array_mut().into_iter().flatten() {
            image["VirtualSize"] = image["Size"].clone();
        }
    }
    images
}

/// An inspected image as this version shows it.
pub(crate) fn image(version: ApiVersion, image: &mut Value) {
    if version < ApiVersion::minor(44) {
        image["VirtualSize"] = image["Size"].clone();
    }
    if version < ApiVersion::minor(45) {
        image["Container"] = json!("");
        image["ContainerConfig"] = Value::Null;
    }
    if version < ApiVersion::minor(48)
        && let Some(fields) = image.as_object_mut()
    {
        fields.remove("Descriptor");
    }
}

/// What the service tells of itself, as this version shows it.
pub(crate) fn info(version: ApiVersion, info: &mut SystemInfo) {
    if version < ApiVersion::minor(25) {
        // Of `name=seccomp,profile=builtin` the name alone.
        for option in info.security_options.iter_mut().flatten() {
            let name = option.split(',').find_map(|part| part.strip_prefix("name="));
            *option = name.unwrap_or_default().to_owned();
        }
    }
    if version < ApiVersion::minor(39) {
        for text in [&mut info.kernel_version, &mut info.operating_system] {
            if text.as_deref().unwrap_or_default().is_empty() {
                *text = Some("<unknown>".to_owned());
            }
        }
    }
}

/// An event with the fields of Docker before 1.22, which its own client still reads when it speaks less than 1.30.
#[derive(Debug, Serialize)]
pub(crate) struct Event {
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<String>,
    #[serde(flatten)]
    event: EventMessage,
}

impl Event {
    pub(crate) fn of(event: EventMessage) -> Self {
        let container = event.typ == Some(EventMessageTypeEnum::CONTAINER);
        let image = event.typ == Some(EventMessageTypeEnum::IMAGE);
        let actor = event.actor.as_ref().filter(|_| container || image);
        let attributes = actor.and_then(|actor| actor.attributes.as_ref()).filter(|_| container);
        let status = event.action.clone().filter(|_| container || image);
        let id = actor.and_then(|actor| actor.id.clone()).filter(|id| !id.is_empty());
        let from = attributes.and_then(|attributes| attributes.get("image").cloned());
        Self { status, id, from, event }
    }
}

/// Whether this version tells of an event.
pub(crate) fn tells(version: ApiVersion, event: &EventMessage) -> bool {
    version >= ApiVersion::minor(46)
        || event.typ != Some(EventMessageTypeEnum::IMAGE)
        || event.action.as_deref() != Some("create")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(text: &str) -> ContainerCreateBody {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn creations_mean_what_their_version_meant() {
        let asked = r#"{"Image":"a","HostConfig":{"AutoRemove":true,"Annotations":{"a":"b"},
            "Mounts":[{"Type":"bind","Source":"/a","Target":"/b","TmpfsOptions":{},
            "BindOptions":{"NonRecursive":true,"CreateMountpoint":true}}]}}"#;
        let at = |minor| {
            let mut body = body(asked);
            create(ApiVersion::minor(minor), &mut body).unwrap();
            body.host_config.unwrap()
        };
        assert_eq!(at(24).auto_remove, None);
        assert_eq!(at(25).auto_remove, Some(true));
        assert_eq!(at(39).ipc_mode.as_deref(), Some("shareable"));
        assert_eq!(at(40).ipc_mode, None);
        assert!(at(42).annotations.is_none() && at(43).annotations.is_some());
        let mount = |minor| at(minor).mounts.unwrap().remove(0);
        assert!(mount(41).tmpfs_options.is_none() && mount(42).tmpfs_options.is_some());
        assert_eq!(mount(39).bind_options.unwrap().non_recursive, None);
        let options = mount(41).bind_options.unwrap();
        assert_eq!((options.non_recursive, options.create_mountpoint), (Some(true), None));
        assert_eq!(mount(42).bind_options.unwrap().create_mountpoint, Some(true));
    }

    #[test]
    fn what_came_later_is_refused() {
        for (minor, asked, text) in [
            (
                43,
                r#"{"NetworkingConfig":{"EndpointsConfig":{"b":{},"a":{}}}}"#,
                "Container cannot be created with multiple network endpoints: a, b",
            ),
            (
                43,
                r#"{"HostConfig":{"Mounts":[{"Type":"bind","BindOptions":{"ReadOnlyForceRecursive":true}}]}}"#,
                "BindOptions.ReadOnlyForceRecursive needs API v1.44 or newer",
            ),
            (
                44,
                r#"{"HostConfig":{"Mounts":[{"Type":"volume","VolumeOptions":{"Subpath":"a"}}]}}"#,
                "VolumeOptions.Subpath needs API v1.45 or newer",
            ),
            (
                47,
                r#"{"HostConfig":{"Mounts":[{"Type":"image"}]}}"#,
                r#"Mount type "Image" needs API v1.48 or newer"#,
            ),
        ] {
            assert_eq!(create(ApiVersion::minor(minor), &mut body(asked)), Err(ApiError::bad(text)));
            assert_eq!(create(ApiVersion::minor(minor + 1), &mut body(asked)), Ok(()), "{asked}");
        }
    }

    #[test]
    fn images_had_two_sizes() {
        let image = || vec![ImageSummary { size: 7, containers: 2, ..ImageSummary::default() }];
        let old = images(ApiVersion::minor(42), image());
        assert_eq!((&old[0]["VirtualSize"], &old[0]["RepoTags"][0]), (&json!(7), &json!("<none>:<none>")));
        let new = images(ApiVersion::minor(51), image());
        assert_eq!((&new[0]["VirtualSize"], &new[0]["Containers"]), (&Value::Null, &json!(2)));
        assert_eq!(images(ApiVersion::minor(50), image())[0]["Containers"], -1);
    }

    #[test]
    fn events_have_both_kinds_of_fields() {
        let event = |text| Event::of(serde_json::from_str(text).unwrap());
        let die =
            event(r#"{"Type":"container","Action":"die","Actor":{"ID":"c","Attributes":{"image":"i"}}}"#);
        let shown = serde_json::to_value(die).unwrap();
        assert_eq!(
            (&shown["status"], &shown["id"], &shown["from"]),
            (&json!("die"), &json!("c"), &json!("i"))
        );
        assert_eq!(shown["Actor"]["ID"], "c");
        let made = event(r#"{"Type":"volume","Action":"create","Actor":{"ID":"v","Attributes":{}}}"#);
        let shown = serde_json::to_value(made).unwrap();
        assert!(shown.get("status").is_none() && shown.get("id").is_none() && shown.get("from").is_none());
    }

    #[test]
    fn security_options_were_names() {
        let options = Some(vec!["name=seccomp,profile=builtin".to_owned()]);
        let mut told = SystemInfo { security_options: options, ..SystemInfo::default() };
        info(ApiVersion::minor(24), &mut told);
        assert_eq!(told.security_options.unwrap(), ["seccomp"]);
        assert_eq!(told.kernel_version.unwrap(), "<unknown>");
    }
}
