//! The halves of a case on two machines.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use transport::{Listener, Stream, Transport};

use crate::{CASES, Case, Cue, Half};

/// Where the guest calls the host, once per case.
pub const CONTROL_PORT: u32 = 1000;

/// Case number that ends the guest.
const LAST_CASE: u8 = u8::MAX;
/// Each case has a port of its own: a listener's socket may outlive the listener by a moment.
const FIRST_PORT: u32 = 2000;

/// The longest time for one half.
const HALF_DEADLINE: Duration = Duration::from_secs(30);
/// Between a guest's cases.
const CALL_DEADLINE: Duration = Duration::from_secs(20);
/// The guest's link may not be up yet.
const CALL_AGAIN_AFTER: Duration = Duration::from_millis(20);

/// The host's side: tells the guest what to run, and runs the other half.
pub struct Conductor {
    end: Arc<dyn Transport>,
    calls: Listener,
}

impl Conductor {
    /// Listens for the guest; to be called before it boots.
    ///
    /// # Errors
    /// Where the transport cannot listen.
    pub async fn new(end: Arc<dyn Transport>) -> anyhow::Result<Self> {
        let calls = end.listen(CONTROL_PORT).await?;
        Ok(Self { end, calls })
    }

    /// The guest's next call, at most `patience` from now.
    ///
    /// # Errors
    /// When it does not come.
    pub async fn call(&mut self, patience: Duration) -> anyhow::Result<Stream> {
        let call = tokio::time::timeout(patience, self.calls.accept()).await;
        Ok(call.map_err(|_| anyhow::anyhow!("the guest did not call within {patience:?}"))??)
    }

    /// Runs every case, the first on a call that came already, and ends the guest.
    ///
    /// # Errors
    /// Names the cases that failed; the reasons are on standard error and the guest's console.
    pub async fn run_all(mut self, first: Stream) -> anyhow::Result<()> {
        let mut failed = Vec::new();
        let mut call = first;
        for (number, case) in (0..).zip(CASES) {
            let since = std::time::Instant::now();
            let port = FIRST_PORT + u32::from(number);
            call.write_u8(number).await?;
            call.write_u32(port).await?;
            call.flush().await?;
            let half = Half { end: Arc::clone(&self.end), port, cue: Cue::over(call) };
            let outcome = match half_within_deadline((case.host)(half)).await {
                Ok(()) => "ok".to_owned(),
                Err(error) => {
                    failed.push(case.name);
                    format!("FAILED: {error:#}")
                }
            };
            eprintln!("{:>6} ms  {}: {outcome}", since.elapsed().as_millis(), case.name);
            call = match self.call(HALF_DEADLINE + CALL_DEADLINE).await {
                Ok(call) => call,
                Err(error) => anyhow::bail!("after {}: {error:#}; failed so far: {failed:?}", case.name),
            };
        }
        call.write_u8(LAST_CASE).await?;
        call.flush().await?;
        // The guest closes its end when it has read the word.
        tokio::time::timeout(CALL_DEADLINE, call.read_u8()).await.ok();
        anyhow::ensure!(failed.is_empty(), "broken promises: {}", failed.join(", "));
        Ok(())
    }
}

/// The guest's side: runs the halves that it is told to, until told that it is through.
///
/// # Errors
/// When the host is not there, or says what makes no sense.
pub async fn serve(end: Arc<dyn Transport>) -> anyhow::Result<()> {
    loop {
        let mut call = tokio::time::timeout(CALL_DEADLINE, call(end.as_ref())).await?;
        let number = call.read_u8().await?;
        if number == LAST_CASE {
            return Ok(());
        }
        let case: &Case =
            CASES.get(usize::from(number)).ok_or_else(|| anyhow::anyhow!("no case {number}"))?;
        let port = call.read_u32().await?;
        let half = Half { end: Arc::clone(&end), port, cue: Cue::over(call) };
        if let Err(error) = half_within_deadline((case.guest)(half)).await {
            eprintln!("{}: the guest's half failed: {error:#}", case.name);
        }
    }
}

async fn call(end: &dyn Transport) -> Stream {
    loop {
        match end.connect(CONTROL_PORT).await {
            Ok(stream) => return stream,
            Err(_not_yet) => tokio::time::sleep(CALL_AGAIN_AFTER).await,
        }
    }
}

/// Apart, so that a panic ends the half alone.
async fn half_within_deadline(half: futures::future::BoxFuture<'static, ()>) -> anyhow::Result<()> {
    let task = tokio::spawn(half);
    let abort = task.abort_handle();
    match tokio::time::timeout(HALF_DEADLINE, task).await {
        Ok(outcome) => Ok(outcome?),
        Err(_) => {
            abort.abort();
            anyhow::bail!("not through within {HALF_DEADLINE:?}")
        }
    }
}
