//! The system's own dialogs, which WebDriver does not see: keys pressed on the screen itself.

use std::path::Path;
use std::time::Duration;

use super::{Desktop, SOON};
use crate::{Run, eventually};

/// How long a dialog may take to close after a path that it understood.
const ANSWER: Duration = Duration::from_secs(2);

impl Desktop {
    /// Answers the file dialog of this title with a path, typed as a person types it: once more where the dialog was still
    /// busy with the keys before.
    pub async fn answer_dialog(&self, title: &str, path: &Path) {
        let search = ["search", "--onlyvisible", "--name", title];
        let window = eventually(&format!("the dialog {title:?}"), SOON, || async {
            self.xdotool(&search).await.lines().next().map(str::to_owned)
        })
        .await;
        eventually(&format!("the dialog {title:?} takes {}", path.display()), SOON, || async {
            self.xdotool(&["windowfocus", "--sync", &window]).await;
            // A slash opens the place for a path where there is none yet, in a moment; the whole of it is then replaced.
            let typed = path.to_str().unwrap();
            let keys = ["key", "slash", "sleep", "0.3", "key", "ctrl+a", "type", "--delay", "8", typed];
            self.xdotool(&keys).await;
            self.picture(&format!("dialog-{}", title.replace(' ', "-").replace('…', ""))).await;
            self.xdotool(&["key", "Return"]).await;
            let closed =
                tokio::time::timeout(ANSWER, async { while !self.xdotool(&search).await.is_empty() {} });
            closed.await.ok()
        })
        .await;
    }

    /// What it says; nothing when it finds nothing.
    async fn xdotool(&self, arguments: &[&str]) -> String {
        Run::new("xdotool").args(arguments).env("DISPLAY", &self.display).finish().await.stdout
    }
}
