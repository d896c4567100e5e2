//! Values of `docker run`'s options, as docker's own client reads them.

use client::bollard::models::{
    DeviceMapping, EndpointSettings, Mount, MountBindOptions, MountType, MountVolumeOptions,
    MountVolumeOptionsDriverConfig, ResourcesBlkioWeightDevice, ResourcesUlimits, ThrottleDevice,
};

/// Why a value cannot be used, after the option's name.
pub(super) type Why = String;

pub(super) fn number(text: &str) -> Result<i64, Why> {
    text.parse().map_err(|_| "not a number".to_owned())
}

/// `true` and `false` in the words that docker takes.
pub(super) fn switch(text: &str) -> Result<bool, Why> {
    match text {
        "" | "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err("neither true nor false".to_owned()),
    }
}

/// `512m`, `1.5GiB`: binary units, whatever they are called. Bytes without one.
pub(super) fn bytes(text: &str) -> Result<i64, Why> {
    let wrong = || "not a size such as 512m or 2g".to_owned();
    let end = text.find(|letter: char| letter != '.' && !letter.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let number: f64 = number.parse().map_err(|_| wrong())?;
    let unit = unit.trim_start().to_ascii_lowercase();
    let power = match unit.trim_end_matches('b').trim_end_matches('i') {
        "" if !unit.contains('i') => 0,
        "k" => 1,
        "m" => 2,
        "g" => 3,
        "t" => 4,
        "p" => 5,
        _ => return Err(wrong()),
    };
    #[expect(
        clippy::cast_possible_truncation,
        reason = "saturates; coracled has the word on what is too much"
    )]
    Ok((number * 1024_f64.powi(power)) as i64)
}

/// A duration as Go writes it, such as `1m30s`, in nanoseconds.
pub(super) fn duration_ns(text: &str) -> Result<i64, Why> {
    let wrong = || "not a duration such as 30s or 1m30s".to_owned();
    let mut rest = text;
    let mut total = 0.0;
    while !rest.is_empty() && rest != "0" {
        let end = rest.find(|letter: char| letter != '.' && !letter.is_ascii_digit()).ok_or_else(wrong)?;
        let (number, after) = rest.split_at(end);
        let end = after.find(|letter: char| letter.is_ascii_digit()).unwrap_or(after.len());
        let (unit, after) = after.split_at(end);
        let unit_ns = match unit {
            "ns" => 1.0,
            "us" | "µs" => 1e3,
            "ms" => 1e6,
            "s" => 1e9,
            "m" => 60e9,
            "h" => 3600e9,
            _ => return Err(wrong()),
        };
        total += number.parse::<f64>().map_err(|_| wrong())? * unit_ns;
        rest = after;
    }
    #[expect(
        clippy::cast_possible_truncation,
        reason = "saturates; coracled has the word on what is too much"
    )]
    Ok(total as i64)
}

pub(super) fn pair(text: &str) -> (String, String) {
    let (key, value) = text.split_once('=').unwrap_or((text, ""));
    (key.to_owned(), value.to_owned())
}

/// `/dev/host[:/dev/container][:rwm]`.
pub(super) fn device(text: &str) -> DeviceMapping {
    let mode = |part: &str| !part.is_empty() && part.chars().all(|letter| "rwm".contains(letter));
    let parts: Vec<&str> = text.splitn(3, ':').collect();
    let (host, inside, permissions) = match parts[..] {
        [host, permissions] if mode(permissions) => (host, host, permissions),
        [host, inside] => (host, inside, "rwm"),
        [host, inside, permissions] => (host, inside, permissions),
        _ => (text, text, "rwm"),
    };
    DeviceMapping {
        path_on_host: Some(host.to_owned()),
        path_in_container: Some(inside.to_owned()),
        cgroup_permissions: Some(permissions.to_owned()),
    }
}

fn device_and<'a>(text: &'a str, what: &str) -> Result<(Option<String>, &'a str), Why> {
    let (path, value) = text.rsplit_once(':').ok_or_else(|| format!("not /dev/name:{what}"))?;
    Ok((Some(path.to_owned()), value))
}

pub(super) fn bytes_per_s(text: &str) -> Result<ThrottleDevice, Why> {
    let (path, value) = device_and(text, "rate")?;
    Ok(ThrottleDevice { path, rate: Some(bytes(value)?) })
}

pub(super) fn operations_per_s(text: &str) -> Result<ThrottleDevice, Why> {
    let (path, value) = device_and(text, "rate")?;
    Ok(ThrottleDevice { path, rate: Some(number(value)?) })
}

pub(super) fn weight(text: &str) -> Result<ResourcesBlkioWeightDevice, Why> {
    let (path, value) = device_and(text, "weight")?;
    let weight = value.parse().map_err(|_| "not a weight from 10 to 1000".to_owned())?;
    Ok(ResourcesBlkioWeightDevice { path, weight: Some(weight) })
}

/// `nofile=1024[:2048]`.
pub(super) fn ulimit(text: &str) -> Result<ResourcesUlimits, Why> {
    let (name, limits) = text.split_once('=').ok_or("not name=soft or name=soft:hard")?;
    let (soft, hard) = limits.split_once(':').unwrap_or((limits, limits));
    Ok(ResourcesUlimits { name: Some(name.to_owned()), soft: Some(number(soft)?), hard: Some(number(hard)?) })
}

/// A line of CSV, as options with several parts have it: a part in quotation marks may contain commas.
pub(super) fn parts(text: &str) -> Vec<(String, String)> {
    let mut fields = vec![String::new()];
    let mut quoted = false;
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        let last = fields.last_mut().expect("begins with one and only grows");
        match letter {
            '"' if quoted && letters.next_if_eq(&'"').is_some() => last.push('"'),
            '"' => quoted = !quoted,
            ',' if !quoted => fields.push(String::new()),
            letter => last.push(letter),
        }
    }
    fields.iter().map(|field| pair(field)).collect()
}

/// `type=bind,source=/a,target=/b,readonly`.
pub(super) fn mount(text: &str) -> Result<Mount, Why> {
    let mut mount = Mount { typ: Some(MountType::VOLUME), ..Mount::default() };
    let mut volume = MountVolumeOptions::default();
    let mut bind = MountBindOptions::default();
    for (key, value) in parts(text) {
        let flag = || switch(&value).map_err(|why| format!("{key}: {why}"));
        match key.to_ascii_lowercase().as_str() {
            "type" => mount.typ = Some(value.parse().map_err(|_| format!("there is no type {value}"))?),
            "source" | "src" => mount.source = Some(value),
            "target" | "dst" | "destination" => mount.target = Some(value),
            "readonly" | "ro" => mount.read_only = Some(flag()?),
            "consistency" => mount.consistency = Some(value),
            "bind-propagation" => {
                let propagation = value.parse().map_err(|_| format!("there is no propagation {value}"))?;
                bind.propagation = Some(propagation);
            }
            "bind-nonrecursive" => bind.non_recursive = Some(flag()?),
            "bind-recursive" => match value.as_str() {
                "enabled" => {}
                "disabled" => bind.non_recursive = Some(true),
                "writable" => bind.read_only_non_recursive = Some(true),
                "readonly" => bind.read_only_force_recursive = Some(true),
                _ => return Err(format!("there is no bind-recursive={value}")),
            },
            "volume-nocopy" => volume.no_copy = Some(flag()?),
            "volume-subpath" => volume.subpath = Some(value),
            "volume-label" => {
                let (label, value) = pair(&value);
                volume.labels.get_or_insert_default().insert(label, value);
            }
            "volume-driver" => driver(&mut volume).name = Some(value),
            "volume-opt" => {
                let (option, value) = pair(&value);
                driver(&mut volume).options.get_or_insert_default().insert(option, value);
            }
            "image-subpath" => mount.image_options.get_or_insert_default().subpath = Some(value),
            "tmpfs-size" => mount.tmpfs_options.get_or_insert_default().size_bytes = Some(bytes(&value)?),
            "tmpfs-mode" => {
                let mode = i64::from_str_radix(&value, 8).map_err(|_| format!("{value} is no octal mode"))?;
                mount.tmpfs_options.get_or_insert_default().mode = Some(mode);
            }
            other => return Err(format!("unknown part {other:?}")),
        }
    }
    mount.volume_options = Some(volume).filter(|options| *options != MountVolumeOptions::default());
    mount.bind_options = Some(bind).filter(|options| *options != MountBindOptions::default());
    Ok(mount)
}

fn driver(volume: &mut MountVolumeOptions) -> &mut MountVolumeOptionsDriverConfig {
    volume.driver_config.get_or_insert_default()
}

/// `backend`, or `name=backend,alias=db,ip=…`.
pub(super) fn network(text: &str) -> Result<(String, EndpointSettings), Why> {
    let mut settings = EndpointSettings::default();
    if !text.contains('=') {
        return Ok((text.to_owned(), settings));
    }
    let mut name = String::new();
    for (key, value) in parts(text) {
        match key.as_str() {
            "name" => name = value,
            "alias" => settings.aliases.get_or_insert_default().push(value),
            "ip" => settings.ipam_config.get_or_insert_default().ipv4_address = Some(value),
            "ip6" => settings.ipam_config.get_or_insert_default().ipv6_address = Some(value),
            "link-local-ip" => {
                settings
                    .ipam_config
                    .get_or_insert_default()
                    .link_local_ips
                    .get_or_insert_default()
                    .push(value);
            }
            "mac-address" => settings.mac_address = Some(value),
            "driver-opt" => {
                let (option, value) = pair(&value);
                settings.driver_opts.get_or_insert_default().insert(option, value);
            }
            "gw-priority" => settings.gw_priority = Some(number(&value)?),
            other => return Err(format!("unknown part {other:?}")),
        }
    }
    if name.is_empty() { Err("no network is named".to_owned()) } else { Ok((name, settings)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_durations_by_table() {
        let mib = 1 << 20;
        for (text, wanted) in [
            ("0", 0),
            ("512m", 512 * mib),
            ("1.5g", 1536 * mib),
            ("2GiB", 2048 * mib),
            ("1 kb", 1024),
            ("7b", 7),
        ] {
            assert_eq!(bytes(text), Ok(wanted), "{text}");
        }
        for text in ["", "m", "1x", "-1", "1ib"] {
            assert!(bytes(text).is_err(), "{text}");
        }
        for (text, wanted) in
            [("0", 0), ("30s", 30_000_000_000), ("1m30s", 90_000_000_000), ("1.5ms", 1_500_000)]
        {
            assert_eq!(duration_ns(text), Ok(wanted), "{text}");
        }
        for text in ["30", "s", "1d", "1m3"] {
            assert!(duration_ns(text).is_err(), "{text}");
        }
    }

    #[test]
    fn devices_by_table() {
        for (text, wanted) in [
            ("/dev/a", ("/dev/a", "/dev/a", "rwm")),
            ("/dev/a:r", ("/dev/a", "/dev/a", "r")),
            ("/dev/a:/dev/b", ("/dev/a", "/dev/b", "rwm")),
            ("/dev/a:/dev/b:rw", ("/dev/a", "/dev/b", "rw")),
        ] {
            let DeviceMapping { path_on_host, path_in_container, cgroup_permissions } = device(text);
            let got = [path_on_host, path_in_container, cgroup_permissions].map(Option::unwrap);
            assert_eq!(got, [wanted.0, wanted.1, wanted.2], "{text}");
        }
        assert_eq!(bytes_per_s("/dev/sda:1mb").unwrap().rate, Some(1 << 20));
        assert!(operations_per_s("/dev/sda").is_err() && operations_per_s("/dev/sda:1mb").is_err());
    }

    #[test]
    fn mounts_and_networks_have_parts() {
        let made = mount("type=bind,\"src=/a,b\",dst=/x,readonly,bind-propagation=rslave").unwrap();
        assert_eq!((made.typ, made.source.as_deref()), (Some(MountType::BIND), Some("/a,b")));
        assert_eq!((made.target.as_deref(), made.read_only), (Some("/x"), Some(true)));
        let made = mount("source=data,target=/x,volume-opt=type=nfs,tmpfs-mode=1777").unwrap();
        assert_eq!(made.volume_options.unwrap().driver_config.unwrap().options.unwrap()["type"], "nfs");
        assert_eq!(made.tmpfs_options.unwrap().mode, Some(0o1777));
        assert_eq!(mount("typ=bind").unwrap_err(), "unknown part \"typ\"");

        let (name, settings) = network("name=n,alias=a,alias=b,ip=10.0.0.2").unwrap();
        assert_eq!((name.as_str(), settings.aliases.unwrap().len()), ("n", 2));
        assert_eq!(network("n").unwrap().0, "n");
        assert!(network("alias=a").is_err());
    }
}
