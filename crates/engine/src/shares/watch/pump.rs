//! From changes to calls: gathers them for a moment, so that a save is one call and a checkout a few.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Weak;
use std::time::Duration;

use agent_proto::v1;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::State;
use crate::agent::{QUICK, call};

/// How long changes are gathered.
const GATHER: Duration = Duration::from_millis(100);
/// And when no process in the guest watches anything; one that has just begun to still learns of a change in time.
const GATHER_UNWATCHED: Duration = Duration::from_millis(400);
/// How many paths of one share are told at once; of more, their folders.
const MOST_PATHS: usize = 512;

/// Something changed on the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Change {
    /// This.
    Path(PathBuf),
    /// More than could be counted.
    Many,
}

pub(super) struct Pump {
    state: Weak<State>,
    changes: mpsc::Receiver<Change>,
    gather: Duration,
}

impl Pump {
    pub(super) fn new(state: Weak<State>, changes: mpsc::Receiver<Change>) -> Self {
        Self { state, changes, gather: GATHER }
    }

    /// Until nobody mounts anything any more.
    pub(super) async fn run(mut self) {
        while let Some(first) = self.changes.recv().await {
            let mut paths = BTreeSet::new();
            let mut many = false;
            let mut take = |change| match change {
                Change::Path(path) => drop(paths.insert(path)),
                Change::Many => many = true,
            };
            take(first);
            let until = Instant::now() + self.gather;
            while let Ok(Some(change)) = tokio::time::timeout_at(until, self.changes.recv()).await {
                take(change);
            }
            let Some(state) = self.state.upgrade() else { return };
            if many {
                paths.extend(state.wanted().sources.values().flatten().cloned());
            }
            let Some(agent) = state.machine.agent() else { continue };
            let mut watched = false;
            for (tag, paths) in sorted(&paths, |path| state.locate(path)) {
                let request = v1::NotifyShareRequest { tag, paths };
                match call(QUICK, agent.grpc().notify_share(request)).await {
                    Ok(reply) => watched |= reply.watched,
                    Err(error) => tracing::debug!(reason = error.text(), "the guest is not told of a change"),
                }
            }
            self.gather = if watched { GATHER } else { GATHER_UNWATCHED };
        }
    }
}

/// By share, relative to it.
fn sorted(
    paths: &BTreeSet<PathBuf>,
    locate: impl Fn(&Path) -> Option<(String, PathBuf)>,
) -> BTreeMap<String, Vec<String>> {
    let mut shares: BTreeMap<String, BTreeSet<PathBuf>> = BTreeMap::new();
    for (tag, path) in paths.iter().filter_map(|path| locate(path)) {
        shares.entry(tag).or_default().insert(path);
    }
    let text = |paths: &BTreeSet<PathBuf>| {
        paths.iter().take(MOST_PATHS).map(|path| path.to_string_lossy().into_owned()).collect()
    };
    shares
        .into_iter()
        .map(|(tag, paths)| {
            if paths.len() <= MOST_PATHS {
                return (tag, text(&paths));
            }
            let folders = paths.iter().filter_map(|path| path.parent()).map(Path::to_owned).collect();
            (tag, text(&folders))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn locate(path: &Path) -> Option<(String, PathBuf)> {
        path.strip_prefix("/r").ok().map(|rest| ("t".to_owned(), rest.to_owned()))
    }

    #[test]
    fn changes_are_told_beneath_their_share() {
        let paths = ["/r/a/x", "/r/y", "/else"].iter().map(PathBuf::from).collect();
        let told = sorted(&paths, locate);
        assert_eq!(told, BTreeMap::from([("t".to_owned(), vec!["a/x".to_owned(), "y".to_owned()])]));
    }

    #[test]
    fn of_very_many_the_folders_are_told() {
        let paths = (0..10_000).map(|n| PathBuf::from(format!("/r/d{}/f{n}", n % 3))).collect();
        assert_eq!(sorted(&paths, locate)["t"], ["d0", "d1", "d2"]);
    }
}
