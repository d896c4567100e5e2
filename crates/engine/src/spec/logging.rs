//! How a container's output is kept: drivers `json-file`, `local` and `none`, and their options.
//!
//! All of it lies in the guest in one form; what the drivers differ in is how much is kept. Attributes (labels,
//! variables, a tag) are the same for every line of a container, so they are not stored with each but told by
//! `logs --details` ([`details`]).

use std::collections::BTreeMap;

use agent_proto::v1;
use bollard_stubs::models::HostConfig;

use crate::error::{Error, Invalid};
use crate::record::Record;

/// Docker's limits of the `local` driver.
const LOCAL_SIZE_BYTES: u64 = 20_000_000;
const LOCAL_FILES: u32 = 5;

/// Docker's room for what waits of a log that does not block.
const BUFFER_BYTES: u64 = 1 << 20;
/// More would be the VM's memory rather than a buffer.
const MAX_BUFFER_BYTES: u64 = 256 << 20;

const OF_JSON_FILE: [&str; 8] =
    ["compress", "env", "env-regex", "labels", "labels-regex", "max-file", "max-size", "tag"];
const OF_LOCAL: [&str; 3] = ["compress", "max-file", "max-size"];
const OF_ALL: [&str; 2] = ["max-buffer-size", "mode"];

/// What of `details` a tag's template may name.
const TAG_FIELDS: [&str; 8] =
    [".DaemonName", ".FullID", ".ID", ".ImageFullID", ".ImageID", ".ImageName", ".Name", ".Command"];

fn options(host: &HostConfig) -> impl Iterator<Item = (&str, &str)> {
    let config = host.log_config.as_ref().and_then(|log| log.config.as_ref());
    config.into_iter().flatten().map(|(name, value)| (name.as_str(), value.as_str()))
}

fn option<'h>(host: &'h HostConfig, wanted: &str) -> Option<&'h str> {
    options(host).find(|(name, _)| *name == wanted).map(|(_, value)| value)
}

fn driver(host: &HostConfig) -> &str {
    let driver = host.log_config.as_ref().and_then(|log| log.typ.as_deref());
    driver.filter(|driver| !driver.is_empty()).unwrap_or("json-file")
}

/// Refuses what is not understood; answers what is understood and not done.
pub(crate) fn check(host: &HostConfig) -> Result<Vec<String>, Error> {
    let driver = driver(host);
    let of_driver: &[&str] = match driver {
        "json-file" => &OF_JSON_FILE,
        "local" => &OF_LOCAL,
        "none" => return Ok(Vec::new()),
        other => return Err(Invalid::LogDriver(other.to_owned()).into()),
    };
    let mut warnings = Vec::new();
    for (name, value) in options(host) {
        if !of_driver.contains(&name) && !OF_ALL.contains(&name) {
            let (name, driver) = (name.to_owned(), driver.to_owned());
            return Err(Invalid::LogOption { name, driver }.into());
        }
        match (name, value) {
            ("mode", "blocking" | "non-blocking") => {}
            ("mode", other) => {
                return Err(bad("mode", other, "logger: logging mode not supported"));
            }
            ("env-regex" | "labels-regex", _) => {
                return Err(Error::Unsupported { field: "HostConfig.LogConfig", given: name.to_owned() });
            }
            ("compress", "true" | "1") if driver == "json-file" => {
                warnings.push("Log option compress is ignored: rotated logs are not compressed.".to_owned());
            }
            ("compress", value) if !matches!(value, "true" | "false" | "1" | "0") => {
                return Err(bad("compress", value, "not a boolean"));
            }
            _ => {}
        }
    }
    if option(host, "max-buffer-size").is_some() && option(host, "mode") != Some("non-blocking") {
        let why = "logger: max-buffer-size option is only supported with 'mode=non-blocking'";
        return Err(Invalid::Conflicting(why).into());
    }
    if let Some(tag) = option(host, "tag") {
        render(tag, &|_| Some(String::new()))
            .ok_or_else(|| bad("tag", tag, "not a template that is known"))?;
    }
    config(host)?;
    Ok(warnings)
}

fn bad(name: &'static str, given: &str, why: &'static str) -> Error {
    let field = match name {
        "mode" => "log option mode",
        "compress" => "log option compress",
        "tag" => "log option tag",
        "max-file" => "log option max-file",
        "max-buffer-size" => "log option max-buffer-size",
        _ => "log option max-size",
    };
    Invalid::Field { field, given: given.to_owned(), why }.into()
}

/// As the agent keeps it.
pub(crate) fn config(host: &HostConfig) -> Result<v1::LogConfig, Error> {
    let (driver, mut size, mut files) = match driver(host) {
        "none" => (v1::log_config::Driver::None, 0, 1),
        "local" => (v1::log_config::Driver::JsonFile, LOCAL_SIZE_BYTES, LOCAL_FILES),
        _ => (v1::log_config::Driver::JsonFile, 0, 1),
    };
    match option(host, "max-size") {
        None => {}
        Some("-1") => size = 0,
        Some(text) => size = human_size(text).ok_or_else(|| bad("max-size", text, "not a size"))?,
    }
    if let Some(text) = option(host, "max-file") {
        let number = text.parse().ok().filter(|&n| n > 0);
        files = number.ok_or_else(|| bad("max-file", text, "max-file cannot be less than 1"))?;
    }
    let mut waiting = 0;
    if option(host, "mode") == Some("non-blocking") {
        waiting = BUFFER_BYTES;
        if let Some(text) = option(host, "max-buffer-size") {
            waiting = buffer_size(text).ok_or_else(|| bad("max-buffer-size", text, "not a size"))?;
        }
    }
    Ok(v1::LogConfig {
        driver: driver.into(),
        max_size_bytes: size,
        max_files: files,
        non_blocking_bytes: waiting,
    })
}

/// `4m`, `64KiB`: binary, as `go-units` reads memory. It is memory of the VM.
fn buffer_size(text: &str) -> Option<u64> {
    let text = text.trim().to_ascii_lowercase();
    let plain = text.strip_suffix("ib").unwrap_or(&text);
    size(plain, 1024.0).filter(|&bytes| bytes <= MAX_BUFFER_BYTES)
}

/// `10m`, `1.5 GB`: decimal, as `go-units` reads sizes.
fn human_size(text: &str) -> Option<u64> {
    size(text, 1000.0)
}

fn size(text: &str, thousand: f64) -> Option<u64> {
    let text = text.trim().to_ascii_lowercase();
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let number: f64 = text[..digits].parse().ok()?;
    let factor = match text[digits..].trim() {
        "" | "b" => 1.0,
        "k" | "kb" => thousand,
        "m" | "mb" => thousand.powi(2),
        "g" | "gb" => thousand.powi(3),
        "t" | "tb" => thousand.powi(4),
        _ => return None,
    };
    let bytes = number * factor;
    (1.0..1e18).contains(&bytes).then_some(bytes as u64)
}

/// Fills in `{{.Field}}`s; none when there is anything else in braces.
fn render(template: &str, value: &dyn Fn(&str) -> Option<String>) -> Option<String> {
    let mut out = String::new();
    let mut rest = template;
    while let Some((before, behind)) = rest.split_once("{{") {
        let (field, after) = behind.split_once("}}")?;
        let field = field.trim();
        if !TAG_FIELDS.contains(&field) {
            return None;
        }
        out.push_str(before);
        out.push_str(&value(field)?);
        rest = after;
    }
    out.push_str(rest);
    Some(out)
}

/// What `logs --details` writes before each line: the attributes, as in a query, sorted.
pub(crate) fn details(record: &Record) -> String {
    let host = &record.host_config;
    let mut attributes: BTreeMap<&str, String> = BTreeMap::new();
    let names = |option_name: &str| {
        option(host, option_name).unwrap_or_default().split(',').filter(|name| !name.is_empty())
    };
    for name in names("labels") {
        if let Some(value) = record.config.labels.as_ref().and_then(|labels| labels.get(name)) {
            attributes.insert(name, value.clone());
        }
    }
    for name in names("env") {
        let entries = record.config.env.iter().flatten();
        let mut values = entries.filter_map(|entry| entry.split_once('=')).filter(|(key, _)| *key == name);
        if let Some((_, value)) = values.next() {
            attributes.insert(name, value.to_owned());
        }
    }
    let value = |field: &str| {
        let image = record.image.to_string();
        let image = image.strip_prefix("sha256:").unwrap_or(&image);
        Some(match field {
            ".ID" => record.id.short().to_owned(),
            ".FullID" => record.id.to_string(),
            ".Name" => record.name.clone(),
            ".ImageID" => image.chars().take(12).collect(),
            ".ImageFullID" => image.to_owned(),
            ".ImageName" => record.image_name().to_owned(),
            ".Command" => record.command.join(" "),
            ".DaemonName" => "docker".to_owned(),
            _ => return None,
        })
    };
    if let Some(tag) = option(host, "tag").filter(|tag| !tag.is_empty()).and_then(|tag| render(tag, &value)) {
        attributes.insert("tag", tag);
    }
    let pairs = attributes.iter().map(|(name, value)| format!("{}={}", escape(name), escape(value)));
    pairs.collect::<Vec<_>>().join(",")
}

/// Go's `url.QueryEscape`.
fn escape(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => out.push(byte as char),
            b' ' => out.push('+'),
            other => out.push_str(&format!("%{other:02X}")),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use bollard_stubs::models::HostConfigLogConfig;

    use super::*;

    fn host(driver: &str, options: &[(&str, &str)]) -> HostConfig {
        let config = options.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        let log = HostConfigLogConfig { typ: Some(driver.to_owned()), config: Some(config) };
        HostConfig { log_config: Some(log), ..HostConfig::default() }
    }

    #[test]
    fn options_by_table() {
        for (driver, options, expected) in [
            ("json-file", vec![], Some((0, 1))),
            ("json-file", vec![("max-size", "10m"), ("max-file", "3")], Some((10_000_000, 3))),
            ("json-file", vec![("max-size", "1.5k")], Some((1500, 1))),
            ("json-file", vec![("max-size", "-1")], Some((0, 1))),
            ("local", vec![], Some((20_000_000, 5))),
            ("local", vec![("max-file", "2")], Some((20_000_000, 2))),
            ("none", vec![("anything", "x")], Some((0, 1))),
            ("json-file", vec![("mode", "non-blocking"), ("max-buffer-size", "4m")], Some((0, 1))),
            ("json-file", vec![("tag", "{{.Name}}/{{.ID}}"), ("labels", "a,b"), ("env", "c")], Some((0, 1))),
            ("json-file", vec![("max-buffer-size", "4m")], None),
            ("json-file", vec![("tag", "{{.Odd}}")], None),
            ("json-file", vec![("max-file", "0")], None),
            ("json-file", vec![("max-size", "x")], None),
            ("json-file", vec![("colour", "red")], None),
            ("local", vec![("labels", "a")], None),
            ("syslog", vec![], None),
        ] {
            let host = host(driver, &options);
            let found = check(&host).and_then(|_| config(&host)).ok();
            assert_eq!(found.map(|c| (c.max_size_bytes, c.max_files)), expected, "{driver} {options:?}");
        }
        for (options, expected) in [
            (vec![("mode", "blocking")], Some(0)),
            (vec![("mode", "non-blocking")], Some(1 << 20)),
            (vec![("mode", "non-blocking"), ("max-buffer-size", "4m")], Some(4 << 20)),
            (vec![("mode", "non-blocking"), ("max-buffer-size", "64KiB")], Some(64 << 10)),
            (vec![("mode", "non-blocking"), ("max-buffer-size", "1t")], None),
            (vec![("mode", "non-blocking"), ("max-buffer-size", "x")], None),
        ] {
            let found = config(&host("json-file", &options)).ok();
            assert_eq!(found.map(|c| c.non_blocking_bytes), expected, "{options:?}");
        }
    }

    #[test]
    fn attributes_are_told_sorted_and_escaped() {
        let mut record = crate::record::tests::record();
        record.config.labels = Some([("b".to_owned(), "x y".to_owned())].into());
        record.config.env = Some(vec!["A=1&2".to_owned()]);
        record.host_config = host("json-file", &[("labels", "b,none"), ("env", "A"), ("tag", "t/{{.Name}}")]);
        assert_eq!(details(&record), "A=1%262,b=x+y,tag=t%2Fa_name");
    }
}
