//! A live VM's agent: gRPC and byte streams to it, for as long as that agent lives.
//!
//! Invariant: a handle belongs to one VM. When the VM is gone every call and every stream that is being opened
//! through it ends at once instead of waiting for a guest that cannot answer; a new VM has a new handle.
//! While the VM lives, a broken connection is made again by itself.
//! The guest is hostile input: what it sends is bounded and has deadlines.

mod channel;
mod hello;

use std::sync::Arc;
use std::time::Duration;

use agent_proto::v1::{self, agent_client::AgentClient, error_detail};
use agent_proto::{AGENT_PORT, FrameError, PROTOCOL, STREAM_PORT, read_frame, write_frame};
use tokio_util::sync::CancellationToken;
use tonic::transport::Channel;
use transport::{Stream, Transport};

pub(crate) use hello::{Greeting, HelloPort, Hellos};

/// How long the agent has to answer a `StreamOpen`: it may have to wait for the guest's disks.
const OPEN_DEADLINE: Duration = Duration::from_secs(20);

/// A live VM's agent. Cheap to clone.
#[derive(Clone)]
pub struct Agent {
    inner: Arc<Inner>,
}

struct Inner {
    channel: Channel,
    transport: Arc<dyn Transport>,
    hello: v1::Hello,
    gone: CancellationToken,
}

impl std::fmt::Debug for Agent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Agent")
            .field("boot_id", &self.inner.hello.boot_id)
            .field("version", &self.inner.hello.agent_version)
            .finish_non_exhaustive()
    }
}

/// Why there is no agent at the other end.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// It speaks another version of the contract.
    #[error(
        "the guest's agent ({agent_version}) speaks protocol {guest}, this coracled speaks {host}: the VM image and coracled are of different releases"
    )]
    Version {
        /// Ours.
        host: u32,
        /// The agent's.
        guest: u32,
        /// The agent's own version.
        agent_version: String,
    },
    /// It did not answer in time.
    #[error("the guest's agent did not answer within {0:?}")]
    Deadline(Duration),
    /// It answered `Info` with an error.
    #[error("the guest's agent does not answer")]
    Call(#[source] Box<tonic::Status>),
    /// Its answer lacks what the contract demands.
    #[error("the guest's agent answered without its hello")]
    Incomplete,
}

/// Why a byte stream could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The VM does not exist any more.
    #[error("the VM has stopped")]
    Gone,
    /// No connection.
    #[error("cannot connect to the guest's stream port")]
    Connect(#[source] transport::ConnectError),
    /// The connection failed before the agent's answer.
    #[error("the guest hung up before it opened the stream")]
    Frame(#[from] FrameError),
    /// No answer.
    #[error("the guest did not open the stream within {0:?}")]
    Deadline(Duration),
    /// The agent says no.
    #[error("{message}")]
    Refused {
        /// Why, for programs.
        code: error_detail::Code,
        /// Why, for people.
        message: String,
    },
}

impl Agent {
    /// Connects to an agent that said its hello to someone else, and asks it who it is.
    ///
    /// # Errors
    /// Any [`ConnectError`]; the agent gets `deadline` to answer.
    pub async fn connect(
        transport: Arc<dyn Transport>,
        gone: CancellationToken,
        deadline: Duration,
    ) -> Result<Self, ConnectError> {
        let channel = channel::open(Arc::clone(&transport), AGENT_PORT, gone.clone());
        let info = async {
            // The first connections can meet a daemon that has just begun: only the deadline counts.
            loop {
                match AgentClient::new(channel.clone()).info(v1::InfoRequest {}).await {
                    Err(status) if status.code() == tonic::Code::Unavailable && !gone.is_cancelled() => {
                        tokio::time::sleep(Duration::from_millis(50)).await;
                    }
                    other => return other,
                }
            }
        };
        let reply = tokio::time::timeout(deadline, info)
            .await
            .map_err(|_| ConnectError::Deadline(deadline))?
            .map_err(|status| ConnectError::Call(Box::new(status)))?;
        let hello = reply.into_inner().hello.ok_or(ConnectError::Incomplete)?;
        check_version(&hello)?;
        Ok(Self { inner: Arc::new(Inner { channel, transport, hello, gone }) })
    }

    /// Whether it answers on a connection of its own.
    pub(crate) async fn answers(&self, deadline: Duration) -> bool {
        let (transport, gone) = (Arc::clone(&self.inner.transport), self.inner.gone.clone());
        Self::connect(transport, gone, deadline).await.is_ok()
    }

    /// The agent behind a hello that has just come.
    pub(crate) fn from_hello(
        transport: Arc<dyn Transport>,
        hello: v1::Hello,
        gone: CancellationToken,
    ) -> Self {
        let channel = channel::open(Arc::clone(&transport), AGENT_PORT, gone.clone());
        Self { inner: Arc::new(Inner { channel, transport, hello, gone }) }
    }

    /// The agent of the same VM after its restart.
    pub(crate) fn renewed(&self, hello: v1::Hello) -> Self {
        Self::from_hello(Arc::clone(&self.inner.transport), hello, self.inner.gone.clone())
    }

    /// The gRPC service. Clones share one connection.
    #[must_use]
    pub fn grpc(&self) -> AgentClient<Channel> {
        AgentClient::new(self.inner.channel.clone())
    }

    /// Opens a byte stream: after success it carries the raw bytes of what `open` names.
    ///
    /// # Errors
    /// [`OpenError::Refused`] with the agent's code, or why the agent could not be asked.
    pub async fn open(&self, open: v1::StreamOpen) -> Result<Stream, OpenError> {
        self.open_told(open).await.map(|(stream, _)| stream)
    }

    /// As [`Self::open`], with what the agent said of it.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub async fn open_told(&self, open: v1::StreamOpen) -> Result<(Stream, v1::StreamOpened), OpenError> {
        let work = async {
            let mut stream =
                channel::dial(&*self.inner.transport, STREAM_PORT).await.map_err(OpenError::Connect)?;
            write_frame(&mut stream, &open).await?;
            let opened: v1::StreamOpened = read_frame(&mut stream).await?;
            match opened.error {
                None => Ok((stream, opened)),
                Some(error) => Err(OpenError::Refused { code: error.code(), message: error.message }),
            }
        };
        tokio::select! {
            done = tokio::time::timeout(OPEN_DEADLINE, work) => {
                done.unwrap_or(Err(OpenError::Deadline(OPEN_DEADLINE)))
            }
            () = self.inner.gone.cancelled() => Err(OpenError::Gone),
        }
    }

    /// The guest's boot id: two handles with the same one reach the same VM life.
    #[must_use]
    pub fn boot_id(&self) -> &str {
        &self.inner.hello.boot_id
    }

    /// What the agent said of itself.
    #[must_use]
    pub fn hello(&self) -> &v1::Hello {
        &self.inner.hello
    }

    /// The VM of this handle has stopped or died.
    #[must_use]
    pub fn is_gone(&self) -> bool {
        self.inner.gone.is_cancelled()
    }

    /// Waits until the VM of this handle has stopped or died.
    pub async fn gone(&self) {
        self.inner.gone.cancelled().await;
    }
}

fn check_version(hello: &v1::Hello) -> Result<(), ConnectError> {
    if hello.protocol == PROTOCOL {
        return Ok(());
    }
    Err(ConnectError::Version {
        host: PROTOCOL,
        guest: hello.protocol,
        agent_version: hello.agent_version.chars().take(64).collect(),
    })
}
