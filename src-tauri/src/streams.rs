//! The open channels, so that the page can close one.
//!
//! Invariant: a channel's command ends when its token is cancelled, and takes its entry with it.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use tokio_util::sync::CancellationToken;

/// Channel id to the token of the command that feeds it.
#[derive(Default)]
pub(crate) struct Streams {
    open: Mutex<HashMap<u32, CancellationToken>>,
}

impl Streams {
    /// Registers a channel for as long as the answer lives.
    pub(crate) fn open(&self, channel: u32) -> OpenStream<'_> {
        let token = CancellationToken::new();
        self.lock().insert(channel, token.clone());
        OpenStream { streams: self, channel, token }
    }

    /// Ends the command that feeds `channel`; nothing happens if it has ended.
    pub(crate) fn close(&self, channel: u32) {
        if let Some(token) = self.lock().get(&channel) {
            token.cancel();
        }
    }

    /// Ends all of them: the page that listened is gone.
    pub(crate) fn close_all(&self) {
        self.lock().values().for_each(CancellationToken::cancel);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<u32, CancellationToken>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A registered channel.
pub(crate) struct OpenStream<'a> {
    streams: &'a Streams,
    channel: u32,
    token: CancellationToken,
}

impl OpenStream<'_> {
    /// Cancelled when the page closes the channel.
    pub(crate) fn closed(&self) -> CancellationToken {
        self.token.clone()
    }

    /// Runs `work` until it ends or the page closes the channel.
    pub(crate) async fn until_closed<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        self.token.run_until_cancelled(work).await
    }
}

impl Drop for OpenStream<'_> {
    fn drop(&mut self) {
        self.streams.lock().remove(&self.channel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_closed_channel_ends_its_work_and_leaves_nothing() {
        let streams = Streams::default();
        let stream = streams.open(7);
        streams.close(8);
        assert_eq!(stream.until_closed(async { 1 }).await, Some(1));
        streams.close(7);
        assert_eq!(stream.until_closed(std::future::pending::<()>()).await, None);
        drop(stream);
        assert!(streams.lock().is_empty());
    }
}
