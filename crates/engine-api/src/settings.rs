//! What Docker Engine 28 shows of a container's networks beside what the models describe: the fields of the
//! default network one level up, and nulls that Go writes.

use serde_json::{Value, json};

/// Completes an inspected container.
pub(crate) fn complete(container: &mut Value) {
    let Some(settings) = container.get_mut("NetworkSettings").and_then(Value::as_object_mut) else { return };
    if let Some(networks) = settings.get_mut("Networks").and_then(Value::as_object_mut) {
        for endpoint in networks.values_mut().filter_map(Value::as_object_mut) {
            for name in ["IPAMConfig", "Links", "Aliases", "DriverOpts", "DNSNames"] {
                endpoint.entry(name).or_insert(Value::Null);
            }
        }
    }
    let default = settings.get("Networks").and_then(|networks| networks.get("bridge")).cloned();
    for (name, nothing) in [
        ("EndpointID", json!("")),
        ("Gateway", json!("")),
        ("GlobalIPv6Address", json!("")),
        ("GlobalIPv6PrefixLen", json!(0)),
        ("IPAddress", json!("")),
        ("IPPrefixLen", json!(0)),
        ("IPv6Gateway", json!("")),
        ("MacAddress", json!("")),
    ] {
        let value = default.as_ref().and_then(|endpoint| endpoint.get(name)).cloned();
        settings.insert(name.to_owned(), value.unwrap_or(nothing));
    }
    for (name, value) in [
        ("Bridge", json!("")),
        ("HairpinMode", json!(false)),
        ("LinkLocalIPv6Address", json!("")),
        ("LinkLocalIPv6PrefixLen", json!(0)),
        ("SecondaryIPAddresses", Value::Null),
        ("SecondaryIPv6Addresses", Value::Null),
    ] {
        settings.insert(name.to_owned(), value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_network_is_shown_one_level_up() {
        let mut shown = json!({"NetworkSettings": {"Networks": {"bridge": {"IPAddress": "172.17.0.2"}}}});
        complete(&mut shown);
        let settings = &shown["NetworkSettings"];
        assert_eq!(settings["IPAddress"], "172.17.0.2");
        assert_eq!(settings["Gateway"], "");
        assert!(settings["Networks"]["bridge"].as_object().unwrap().contains_key("Aliases"));
        let mut other = json!({"NetworkSettings": {"Networks": {"web": {"IPAddress": "172.18.0.2"}}}});
        complete(&mut other);
        assert_eq!(other["NetworkSettings"]["IPAddress"], "");
    }
}
