//! What trying the accelerators taught, kept in a JSON file so that a dead end is entered once only.
//!
//! A verdict holds for one QEMU, one guest kernel and one boot of the host: updates and reboots (which may change
//! firmware settings or modules) void it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::{Accelerator, Verdict};

/// What a verdict holds for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Circumstances {
    pub(crate) qemu_version: String,
    pub(crate) image: String,
    pub(crate) host_boot_id: String,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    circumstances: Circumstances,
    verdicts: BTreeMap<Accelerator, Verdict>,
}

/// The verdicts of the present circumstances.
#[derive(Debug)]
pub(crate) struct Verdicts {
    file: PathBuf,
    stored: Stored,
}

impl Verdicts {
    pub(crate) fn load(file: &Path, circumstances: Circumstances) -> Self {
        let verdicts = std::fs::read(file)
            .ok()
            .and_then(|text| serde_json::from_slice::<Stored>(&text).ok())
            .filter(|stored| stored.circumstances == circumstances)
            .map(|stored| stored.verdicts)
            .unwrap_or_default();
        Self { file: file.to_owned(), stored: Stored { circumstances, verdicts } }
    }

    pub(crate) fn of(&self, accelerator: Accelerator) -> Verdict {
        self.stored.verdicts.get(&accelerator).cloned().unwrap_or(Verdict::Untried)
    }

    /// Remembers. A file that cannot be written costs a probe at the next start, no more.
    pub(crate) fn learn(&mut self, accelerator: Accelerator, verdict: Verdict) {
        self.stored.verdicts.insert(accelerator, verdict);
        let written = serde_json::to_vec_pretty(&self.stored)
            .map_err(std::io::Error::from)
            .and_then(|text| std::fs::write(&self.file, text));
        if let Err(error) = written {
            tracing::warn!(file = %self.file.display(), %error, "accelerator verdict not kept");
        }
    }

    pub(crate) fn forget(file: &Path) {
        match std::fs::remove_file(file) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                tracing::warn!(file = %file.display(), %error, "accelerator verdicts not forgotten");
            }
            _ => {}
        }
    }
}

/// Which accelerators to try, in order: those offered here and not known to fail.
///
/// # Errors
/// For people: why there is none.
pub(crate) fn candidates(
    offered: &[(Accelerator, Result<(), String>)],
    named: Option<Accelerator>,
    verdict: impl Fn(Accelerator) -> Verdict,
) -> Result<Vec<Accelerator>, String> {
    if let Some(named) = named {
        // Who names one wants to see it tried, whatever is remembered.
        return match offered.iter().find(|(accelerator, _)| *accelerator == named) {
            Some((_, Ok(()))) => Ok(vec![named]),
            Some((_, Err(reason))) => Err(format!("accelerator {named} cannot be used: {reason}")),
            None => Err(format!("accelerator {named} does not exist on this system")),
        };
    }
    let tried: Vec<_> = offered
        .iter()
        .filter(|(accelerator, offer)| {
            offer.is_ok() && !matches!(verdict(*accelerator), Verdict::Fails { .. })
        })
        .map(|(accelerator, _)| *accelerator)
        .collect();
    if tried.is_empty() {
        // TCG's own failure is never a reason not to try again: there is nothing else.
        return Ok(vec![Accelerator::Tcg]);
    }
    Ok(tried)
}

#[cfg(test)]
mod tests {
    use super::*;
    use Accelerator::{Hvf, Kvm, Tcg};

    fn circumstances(qemu: &str) -> Circumstances {
        Circumstances { qemu_version: qemu.into(), image: "i".into(), host_boot_id: "b".into() }
    }

    #[test]
    fn verdicts_hold_in_their_circumstances_only() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("accelerators.json");
        let fails = Verdict::Fails { reason: "silent".into() };
        Verdicts::load(&file, circumstances("10")).learn(Kvm, fails.clone());
        assert_eq!(Verdicts::load(&file, circumstances("10")).of(Kvm), fails);
        assert_eq!(Verdicts::load(&file, circumstances("10")).of(Tcg), Verdict::Untried);
        assert_eq!(Verdicts::load(&file, circumstances("11")).of(Kvm), Verdict::Untried);
        Verdicts::forget(&file);
        Verdicts::forget(&file);
        assert_eq!(Verdicts::load(&file, circumstances("10")).of(Kvm), Verdict::Untried);
    }

    #[test]
    fn candidate_table() {
        let both = [(Kvm, Ok(())), (Tcg, Ok(()))];
        let no_kvm = [(Kvm, Err("no /dev/kvm".to_owned())), (Tcg, Ok(()))];
        let untried = |_| Verdict::Untried;
        let kvm_fails =
            |a| if a == Kvm { Verdict::Fails { reason: String::new() } } else { Verdict::Untried };
        let all_fail = |_| Verdict::Fails { reason: String::new() };
        assert_eq!(candidates(&both, None, untried), Ok(vec![Kvm, Tcg]));
        assert_eq!(candidates(&no_kvm, None, untried), Ok(vec![Tcg]));
        assert_eq!(candidates(&both, None, kvm_fails), Ok(vec![Tcg]));
        assert_eq!(candidates(&both, None, all_fail), Ok(vec![Tcg]));
        assert_eq!(candidates(&both, Some(Kvm), kvm_fails), Ok(vec![Kvm]));
        assert!(candidates(&no_kvm, Some(Kvm), untried).unwrap_err().contains("no /dev/kvm"));
        assert!(candidates(&both, Some(Hvf), untried).is_err());
    }
}
