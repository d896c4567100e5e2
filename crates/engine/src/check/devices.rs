//! Devices, and limits on them.

use bollard_stubs::models::HostConfig;

use crate::error::{Error, Invalid};

pub(super) fn devices(host: &mut HostConfig, warnings: &mut Vec<String>) -> Result<(), Error> {
    for rule in host.device_cgroup_rules.iter().flatten() {
        if !is_rule(rule) {
            return Err(Invalid::DeviceRule(rule.clone()).into());
        }
    }
    for device in host.devices.iter().flatten() {
        let permissions = device.cgroup_permissions.as_deref().unwrap_or_default();
        if !permissions.chars().all(|letter| "rwm".contains(letter)) {
            let given = permissions.to_owned();
            return Err(Invalid::Field { field: "device mode", given, why: "not of r, w and m" }.into());
        }
    }
    if let Some(request) = host.device_requests.iter().flatten().next() {
        let lists = request.capabilities.iter().flatten().map(|list| format!("[{}]", list.join(" ")));
        let capabilities = format!("[{}]", lists.collect::<Vec<_>>().join(" "));
        let driver = request.driver.clone().unwrap_or_default();
        return Err(Invalid::DeviceDriver { driver, capabilities }.into());
    }
    let weight = host.blkio_weight.unwrap_or(0);
    if weight != 0 && !(10..=1000).contains(&weight) {
        return Err(Invalid::Conflicting("Range of blkio weight is from 10 to 1000").into());
    }
    if host.blkio_weight_device.as_ref().is_some_and(|list| !list.is_empty()) {
        warnings.push(
            "Your kernel does not support Block I/O weight_device or the cgroup is not mounted. Weight-device \
             discarded."
                .to_owned(),
        );
        host.blkio_weight_device = Some(Vec::new());
    }
    Ok(())
}

/// `[acb] major:minor [rwm]+`, of which `*` is any number.
fn is_rule(rule: &str) -> bool {
    let number = |text: &str| text == "*" || (!text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()));
    let mut parts = rule.split(' ');
    let (Some(kind), Some(numbers), Some(access), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return false;
    };
    matches!(kind, "a" | "b" | "c")
        && numbers.split_once(':').is_some_and(|(major, minor)| number(major) && number(minor))
        && (1..=3).contains(&access.len())
        && access.chars().all(|letter| "rwm".contains(letter))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_by_table() {
        for (rule, good) in [
            ("c 1:3 rwm", true),
            ("a *:* m", true),
            ("b 8:* rw", true),
            ("d 1:3 r", false),
            ("c 1:3", false),
            ("c 1 r", false),
            ("c 1:3 x", false),
            ("c 1:3 rwmr", false),
        ] {
            assert_eq!(is_rule(rule), good, "{rule}");
        }
    }

    #[test]
    fn weights_have_a_range() {
        for (weight, good) in [(0, true), (10, true), (1000, true), (9, false), (1001, false)] {
            let mut host = HostConfig { blkio_weight: Some(weight), ..HostConfig::default() };
            assert_eq!(devices(&mut host, &mut Vec::new()).is_ok(), good, "{weight}");
        }
    }
}
