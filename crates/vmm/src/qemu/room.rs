//! A host without room for what the guest writes.
//!
//! QEMU then halts the guest instead of telling it of a broken disk (`werror=enospc`, its default), and tries the write
//! again when it is told to go on. It is told so every now and then, until the write finds room.

use std::sync::Arc;
use std::time::Duration;

use qapi::qmp::{self, Event};
use tokio::sync::broadcast::{Receiver, error::RecvError};
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;

use super::control::Control;

/// Between attempts to go on.
const PAUSE: Duration = Duration::from_secs(2);
/// Without another failure for so long, it goes on.
const SETTLED: Duration = Duration::from_millis(500);

/// Whether the guest stands still for lack of room, for as long as the task is held.
pub(super) struct Room {
    pub(super) halted: watch::Receiver<bool>,
    _watching: AbortOnDropHandle<()>,
}

impl Room {
    /// Watches a machine that has just been made.
    pub(super) fn watch(control: Arc<Control>) -> Self {
        Self::begin(control, false)
    }

    /// Watches a machine that may stand still already.
    pub(super) async fn watch_attached(control: Arc<Control>) -> Self {
        let halted = is_halted(&control).await;
        Self::begin(control, halted)
    }

    fn begin(control: Arc<Control>, halted: bool) -> Self {
        let events = control.events();
        let (sender, receiver) = watch::channel(halted);
        let watching = AbortOnDropHandle::new(tokio::spawn(watch_on(control, events, sender)));
        Self { halted: receiver, _watching: watching }
    }
}

async fn watch_on(control: Arc<Control>, mut events: Receiver<Event>, halted: watch::Sender<bool>) {
    loop {
        if !*halted.borrow() {
            no_room(&control, &mut events).await;
            halted.send_replace(true);
        }
        tokio::time::sleep(PAUSE).await;
        // What was told before does not count.
        events = control.events();
        if let Err(error) = control.run(qmp::cont {}).await {
            tracing::debug!(%error, "QMP cont");
            continue;
        }
        if tokio::time::timeout(SETTLED, no_room(&control, &mut events)).await.is_err() {
            halted.send_replace(false);
        }
    }
}

async fn is_halted(control: &Control) -> bool {
    let now = control.run(qmp::query_status {}).await;
    now.is_ok_and(|now| now.status == qmp::RunState::io_error)
}

/// Waits until the guest is halted for lack of room.
async fn no_room(control: &Control, events: &mut Receiver<Event>) {
    loop {
        match events.recv().await {
            Ok(Event::BLOCK_IO_ERROR { data, .. })
                if data.nospace == Some(true) && data.action == qmp::BlockErrorAction::stop =>
            {
                return;
            }
            // Of what was missed, one may have been it.
            Err(RecvError::Lagged(_)) if is_halted(control).await => return,
            Ok(_) | Err(RecvError::Lagged(_)) => {}
            Err(RecvError::Closed) => std::future::pending().await,
        }
    }
}
