//! The driver `local`: names and options, by Docker's rules.

use std::collections::HashMap;
use std::path::PathBuf;

use super::error::VolumeError;
use crate::error::Error;

/// What a volume of the driver `local` is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Local {
    /// A folder on the data disk, or a disk of its own, as its first container needs it.
    Folder,
    /// A disk of its own: `type=disk`.
    Disk,
    /// Memory, as long as a container uses it.
    Tmpfs,
    /// A folder of the host.
    Host { path: PathBuf, read_only: bool },
}

/// Docker's rule for names.
pub(super) fn check_name(name: &str) -> Result<(), VolumeError> {
    let bytes = name.as_bytes();
    if bytes.len() == 1 {
        return Err(VolumeError::ShortName(name.to_owned()));
    }
    let word = |b: u8| b.is_ascii_alphanumeric();
    let first = bytes.first().is_some_and(|&b| word(b));
    if !first || !bytes.iter().all(|&b| word(b) || matches!(b, b'_' | b'.' | b'-')) {
        return Err(VolumeError::Name(name.to_owned()));
    }
    if bytes.len() > 255 {
        return Err(VolumeError::LongName(name.to_owned()));
    }
    Ok(())
}

/// What the options ask for.
pub(super) fn check_options(name: &str, options: &HashMap<String, String>) -> Result<Local, Error> {
    const KNOWN: [&str; 4] = ["type", "o", "device", "size"];
    const TOGETHER: [(&str, &[&str]); 3] =
        [("device", &["type"]), ("type", &["device"]), ("o", &["device", "type"])];
    let mut given: Vec<_> = options.keys().collect();
    given.sort();
    if let Some(option) = given.into_iter().find(|option| !KNOWN.contains(&option.as_str())) {
        return Err(VolumeError::Option { name: name.to_owned(), option: option.clone() }.into());
    }
    // Needs no device, unlike the types that mount(8) knows.
    if let Ok(Local::Disk) = Local::of(options) {
        return Ok(Local::Disk);
    }
    for (option, others) in TOGETHER {
        if options.contains_key(option)
            && let Some(option) = others.iter().find(|other| !options.contains_key(**other))
        {
            return Err(VolumeError::MissingOption { name: name.to_owned(), option }.into());
        }
    }
    if options.contains_key("size") {
        return Err(VolumeError::Quota(name.to_owned()).into());
    }
    Local::of(options)
}

impl Local {
    /// Of options that were checked.
    pub(crate) fn of(options: &HashMap<String, String>) -> Result<Self, Error> {
        let text = |key: &str| options.get(key).map(String::as_str).unwrap_or_default();
        let flags: Vec<_> = text("o").split(',').collect();
        match text("type") {
            "" | "none" | "bind" if flags.iter().any(|flag| matches!(*flag, "bind" | "rbind")) => {
                Ok(Self::Host { path: text("device").into(), read_only: flags.contains(&"ro") })
            }
            "" if options.is_empty() => Ok(Self::Folder),
            "disk" if options.len() == 1 => Ok(Self::Disk),
            "tmpfs" => Ok(Self::Tmpfs),
            other => Err(Error::Unsupported { field: "DriverOpts.type", given: other.to_owned() }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for name in ["ab", "a.b-c_D", "00"] {
            assert_eq!(check_name(name), Ok(()));
        }
        assert!(matches!(check_name("a"), Err(VolumeError::ShortName(_))));
        for name in ["", "a/b", "-ab", "..", "a b", "ä1", "_a"] {
            assert!(matches!(check_name(name), Err(VolumeError::Name(_))), "{name}");
        }
        assert!(matches!(check_name(&"a".repeat(256)), Err(VolumeError::LongName(_))));
    }

    fn options(pairs: &[(&str, &str)]) -> Result<Local, String> {
        let options = pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        check_options("vol", &options).map_err(|error| error.to_string())
    }

    #[test]
    fn driver_options() {
        assert_eq!(options(&[]), Ok(Local::Folder));
        let tmpfs = [("type", "tmpfs"), ("device", "tmpfs"), ("o", "size=1m")];
        assert_eq!(options(&tmpfs), Ok(Local::Tmpfs));
        let bind = [("type", "none"), ("device", "/src"), ("o", "bind,ro")];
        assert_eq!(options(&bind), Ok(Local::Host { path: "/src".into(), read_only: true }));
        for (pairs, text) in [
            (&[("colour", "red")][..], "create vol: invalid option: \"colour\""),
            (&[("type", "tmpfs")], "create vol: missing required option: \"device\""),
            (&[("size", "1g")], "create vol: quota size requested but no quota support"),
            (
                &[("type", "nfs"), ("device", ":/x"), ("o", "addr=1.2.3.4")],
                "DriverOpts.type is not supported by Coracle yet (got \"nfs\")",
            ),
        ] {
            assert_eq!(options(pairs), Err(text.to_owned()));
        }
    }
}
