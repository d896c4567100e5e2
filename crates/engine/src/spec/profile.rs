//! A seccomp profile in Docker's form, which knows capabilities, architectures and kernels, made into the one of
//! the runtime specification, which does not.

use serde::Deserialize;
use serde_json::{Value, json};

use crate::error::{Error, Invalid};

/// The guest's kernel is at least this.
const KERNEL: (u32, u32) = (6, 1);

#[cfg(target_arch = "aarch64")]
const ARCHITECTURE: (&str, &str) = ("arm64", "SCMP_ARCH_AARCH64");
#[cfg(not(target_arch = "aarch64"))]
const ARCHITECTURE: (&str, &str) = ("amd64", "SCMP_ARCH_X86_64");

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Profile {
    default_action: String,
    default_errno_ret: Option<u32>,
    architectures: Option<Vec<String>>,
    arch_map: Option<Vec<Architecture>>,
    syscalls: Option<Vec<Rule>>,
    flags: Option<Vec<String>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Architecture {
    architecture: String,
    sub_architectures: Option<Vec<String>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Rule {
    name: Option<String>,
    names: Option<Vec<String>>,
    action: String,
    errno_ret: Option<u32>,
    args: Option<Vec<Value>>,
    includes: Option<Condition>,
    excludes: Option<Condition>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Condition {
    caps: Option<Vec<String>>,
    arches: Option<Vec<String>>,
    min_kernel: Option<String>,
}

impl Condition {
    fn kernel(&self) -> Option<(u32, u32)> {
        let (major, minor) = self.min_kernel.as_deref().filter(|text| !text.is_empty())?.split_once('.')?;
        Some((major.parse().ok()?, minor.parse().ok()?))
    }

    /// Every condition that is set holds.
    fn includes(&self, capabilities: &[String]) -> bool {
        let named = |list: &Option<Vec<String>>| list.clone().unwrap_or_default();
        let arches = named(&self.arches);
        (arches.is_empty() || arches.iter().any(|arch| arch == ARCHITECTURE.0))
            && named(&self.caps).iter().all(|cap| capabilities.contains(cap))
            && self.kernel().is_none_or(|least| KERNEL >= least)
    }

    /// Any condition that is set holds.
    fn excludes(&self, capabilities: &[String]) -> bool {
        let any =
            |list: &Option<Vec<String>>, test: &dyn Fn(&String) -> bool| list.iter().flatten().any(test);
        any(&self.arches, &|arch| arch == ARCHITECTURE.0)
            || any(&self.caps, &|cap| capabilities.contains(cap))
            || self.kernel().is_some_and(|least| KERNEL >= least)
    }
}

fn invalid(why: impl std::fmt::Display) -> Error {
    Invalid::Seccomp(why.to_string()).into()
}

/// The `linux.seccomp` that `text` means for a container with these capabilities.
pub(crate) fn load(text: &str, capabilities: &[String]) -> Result<Value, Error> {
    let profile: Profile = serde_json::from_str(text).map_err(invalid)?;
    if profile.default_action.is_empty() {
        return Err(invalid("defaultAction is missing"));
    }
    let mut architectures = profile.architectures.clone().unwrap_or_default();
    let map = profile.arch_map.as_deref().unwrap_or_default();
    if !architectures.is_empty() && !map.is_empty() {
        return Err(invalid(
            "both 'architectures' and 'archMap' are specified in the seccomp profile, use either",
        ));
    }
    for entry in map.iter().filter(|entry| entry.architecture == ARCHITECTURE.1) {
        architectures.push(entry.architecture.clone());
        architectures.extend(entry.sub_architectures.iter().flatten().cloned());
    }
    let mut rules = Vec::new();
    for rule in profile.syscalls.unwrap_or_default() {
        if rule.includes.as_ref().is_some_and(|condition| !condition.includes(capabilities))
            || rule.excludes.as_ref().is_some_and(|condition| condition.excludes(capabilities))
        {
            continue;
        }
        let names: Vec<String> = match (rule.name.filter(|name| !name.is_empty()), rule.names) {
            (Some(_), Some(names)) if !names.is_empty() => {
                return Err(invalid(
                    "both 'name' and 'names' are specified in the seccomp profile, use either",
                ));
            }
            (Some(name), _) => vec![name],
            (None, Some(names)) => names,
            (None, None) => Vec::new(),
        };
        if names.is_empty() {
            continue;
        }
        let mut its = json!({"names": names, "action": rule.action});
        if let Some(errno) = rule.errno_ret {
            its["errnoRet"] = json!(errno);
        }
        if let Some(args) = rule.args.filter(|args| !args.is_empty()) {
            its["args"] = json!(args);
        }
        rules.push(its);
    }
    let mut its = json!({"defaultAction": profile.default_action, "syscalls": rules});
    if let Some(errno) = profile.default_errno_ret {
        its["defaultErrnoRet"] = json!(errno);
    }
    if !architectures.is_empty() {
        its["architectures"] = json!(architectures);
    }
    if let Some(flags) = profile.flags.filter(|flags| !flags.is_empty()) {
        its["flags"] = json!(flags);
    }
    Ok(its)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_are_decided() {
        let text = r#"{"defaultAction":"SCMP_ACT_ERRNO","defaultErrnoRet":1,
            "archMap":[{"architecture":"SCMP_ARCH_X86_64","subArchitectures":["SCMP_ARCH_X86"]},
                       {"architecture":"SCMP_ARCH_AARCH64","subArchitectures":["SCMP_ARCH_ARM"]}],
            "syscalls":[{"names":["read"],"action":"SCMP_ACT_ALLOW"},
                {"names":["mount"],"action":"SCMP_ACT_ALLOW","includes":{"caps":["CAP_SYS_ADMIN"]}},
                {"names":["clone"],"action":"SCMP_ACT_ALLOW","excludes":{"caps":["CAP_SYS_ADMIN"],"arches":["s390x"]}},
                {"names":["ptrace"],"action":"SCMP_ACT_ALLOW","includes":{"minKernel":"4.8"}},
                {"names":["future"],"action":"SCMP_ACT_ALLOW","includes":{"minKernel":"99.1"}},
                {"name":"one","action":"SCMP_ACT_ERRNO","errnoRet":38}]}"#;
        let names = |capabilities: &[String]| {
            let profile = load(text, capabilities).unwrap();
            assert_eq!(profile["architectures"].as_array().unwrap().len(), 2);
            let rules = profile["syscalls"].as_array().unwrap().clone();
            rules.iter().map(|rule| rule["names"][0].as_str().unwrap().to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(names(&[]), ["read", "clone", "ptrace", "one"]);
        assert_eq!(names(&["CAP_SYS_ADMIN".to_owned()]), ["read", "mount", "ptrace", "one"]);
    }

    #[test]
    fn nonsense_is_refused() {
        for text in ["{", "{}", r#"{"defaultAction":"SCMP_ACT_ALLOW","architectures":["a"],"archMap":[{}]}"#]
        {
            assert!(load(text, &[]).unwrap_err().to_string().starts_with("Decoding seccomp profile failed"));
        }
    }
}
