//! System call filters, compiled once per profile and VM life.
//!
//! Compiling Docker's default profile costs as much as the rest of an exec, and nearly all containers share
//! it. The compiled program lies beside the others by the digest of its profile; the shim loads it
//! (`shim::executor`). A profile with anything unusual is left to libcontainer.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use libseccomp::{ScmpAction, ScmpArch, ScmpArgCompare, ScmpCompareOp, ScmpFilterContext, ScmpSyscall};
use oci_spec::runtime::{Arch, LinuxSeccomp, LinuxSeccompAction, LinuxSeccompOperator};
use types::Digest;

use crate::paths;

/// Why a profile is not compiled here.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FilterError {
    /// Something that only libcontainer handles.
    #[error("the profile has {0}, which is left to the runtime")]
    Unusual(&'static str),
    /// The profile makes no sense.
    #[error("profile: {0}")]
    Compile(#[from] libseccomp::error::SeccompError),
    /// The program cannot be stored.
    #[error("store: {0}")]
    Store(#[from] io::Error),
}

fn action(action: LinuxSeccompAction, errno: Option<u32>) -> Result<ScmpAction, FilterError> {
    Ok(match action {
        LinuxSeccompAction::ScmpActAllow => ScmpAction::Allow,
        LinuxSeccompAction::ScmpActErrno => {
            ScmpAction::Errno(errno.and_then(|n| i32::try_from(n).ok()).unwrap_or(libc::EPERM))
        }
        LinuxSeccompAction::ScmpActKillProcess => ScmpAction::KillProcess,
        LinuxSeccompAction::ScmpActKill | LinuxSeccompAction::ScmpActKillThread => ScmpAction::KillThread,
        LinuxSeccompAction::ScmpActLog => ScmpAction::Log,
        LinuxSeccompAction::ScmpActTrap => ScmpAction::Trap,
        LinuxSeccompAction::ScmpActTrace | LinuxSeccompAction::ScmpActNotify => {
            return Err(FilterError::Unusual("an action for another process"));
        }
    })
}

fn operator(op: LinuxSeccompOperator, second: Option<u64>) -> ScmpCompareOp {
    match op {
        LinuxSeccompOperator::ScmpCmpNe => ScmpCompareOp::NotEqual,
        LinuxSeccompOperator::ScmpCmpLt => ScmpCompareOp::Less,
        LinuxSeccompOperator::ScmpCmpLe => ScmpCompareOp::LessOrEqual,
        LinuxSeccompOperator::ScmpCmpEq => ScmpCompareOp::Equal,
        LinuxSeccompOperator::ScmpCmpGe => ScmpCompareOp::GreaterEqual,
        LinuxSeccompOperator::ScmpCmpGt => ScmpCompareOp::Greater,
        LinuxSeccompOperator::ScmpCmpMaskedEq => ScmpCompareOp::MaskedEqual(second.unwrap_or(0)),
    }
}

fn arch(arch: Arch) -> Result<ScmpArch, FilterError> {
    Ok(match arch {
        Arch::ScmpArchNative => ScmpArch::Native,
        Arch::ScmpArchX86 => ScmpArch::X86,
        Arch::ScmpArchX86_64 => ScmpArch::X8664,
        Arch::ScmpArchX32 => ScmpArch::X32,
        Arch::ScmpArchArm => ScmpArch::Arm,
        Arch::ScmpArchAarch64 => ScmpArch::Aarch64,
        _ => return Err(FilterError::Unusual("an architecture that no Coracle runs on")),
    })
}

fn build(profile: &LinuxSeccomp) -> Result<ScmpFilterContext, FilterError> {
    if profile.flags().as_ref().is_some_and(|flags| !flags.is_empty()) || profile.listener_path().is_some() {
        return Err(FilterError::Unusual("flags or a listener"));
    }
    let default = action(profile.default_action(), profile.default_errno_ret())?;
    let mut filter = ScmpFilterContext::new(default)?;
    filter.set_ctl_nnp(false)?;
    for &its in profile.architectures().iter().flatten() {
        filter.add_arch(arch(its)?)?;
    }
    for rule in profile.syscalls().iter().flatten() {
        let its = action(rule.action(), rule.errno_ret())?;
        if its == default {
            continue;
        }
        let args = rule.args().as_deref().unwrap_or_default();
        let comparisons = args.iter().map(|arg| {
            let index = u32::try_from(arg.index()).unwrap_or(u32::MAX);
            ScmpArgCompare::new(index, operator(arg.op(), arg.value_two()), arg.value())
        });
        let comparisons: Vec<_> = comparisons.collect();
        let mut indices: Vec<_> = args.iter().map(oci_spec::runtime::LinuxSeccompArg::index).collect();
        indices.sort_unstable();
        indices.dedup();
        // As runc: conditions on the same argument are alternatives.
        let together = indices.len() == args.len();
        for name in rule.names() {
            // A name that this libseccomp does not know is one that no program can use.
            let Ok(syscall) = ScmpSyscall::from_name(name) else { continue };
            if together {
                filter.add_rule_conditional(its, syscall, &comparisons)?;
            } else {
                for comparison in &comparisons {
                    filter.add_rule_conditional(its, syscall, std::slice::from_ref(comparison))?;
                }
            }
        }
    }
    Ok(filter)
}

/// The compiled program of `profile`; made when it is asked for first.
pub(crate) fn compiled(profile: &LinuxSeccomp) -> Result<PathBuf, FilterError> {
    let bytes = serde_json::to_vec(profile).map_err(io::Error::from)?;
    let dir = Path::new(paths::RUN).join("filters");
    let path = dir.join(Digest::of(&bytes).hex());
    if !path.exists() {
        let filter = build(profile)?;
        fs::create_dir_all(&dir)?;
        // Two starts at once may both compile: each writes its own, the first name stays. To replace it would take
        // the file away from whoever is just making a link to it.
        let partial = tempname(&dir);
        filter.export_bpf(File::create(&partial)?)?;
        let named = fs::hard_link(&partial, &path);
        fs::remove_file(partial)?;
        if let Err(error) = named
            && error.kind() != io::ErrorKind::AlreadyExists
        {
            return Err(error.into());
        }
    }
    Ok(path)
}

fn tempname(dir: &Path) -> PathBuf {
    use std::sync::atomic::{AtomicU32, Ordering};
    static COUNT: AtomicU32 = AtomicU32::new(0);
    dir.join(format!("new-{}", COUNT.fetch_add(1, Ordering::Relaxed)))
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Seek as _};

    use super::*;

    #[test]
    fn a_profile_becomes_a_program() {
        let profile: LinuxSeccomp = serde_json::from_str(
            r#"{"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 1, "architectures": ["SCMP_ARCH_X86_64"],
                "syscalls": [{"names": ["read", "no_such_call"], "action": "SCMP_ACT_ALLOW"},
                             {"names": ["personality"], "action": "SCMP_ACT_ALLOW",
                              "args": [{"index": 0, "value": 8, "op": "SCMP_CMP_EQ"}]}]}"#,
        )
        .unwrap();
        let mut file = tempfile::tempfile().unwrap();
        build(&profile).unwrap().export_bpf(&file).unwrap();
        let mut bytes = Vec::new();
        file.rewind().unwrap();
        file.read_to_end(&mut bytes).unwrap();
        assert!(!bytes.is_empty() && bytes.len() % 8 == 0);
    }

    #[test]
    fn what_needs_another_process_is_refused() {
        let profile: LinuxSeccomp = serde_json::from_str(r#"{"defaultAction": "SCMP_ACT_TRACE"}"#).unwrap();
        assert!(matches!(build(&profile), Err(FilterError::Unusual(_))));
    }
}
