//! Length-prefixed messages, for the first exchange on a raw connection.

use prost::Message;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::MAX_FRAME_BYTES;

/// Why a frame could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// The connection failed or ended inside the frame.
    #[error("connection ended inside a frame")]
    Io(#[from] std::io::Error),
    /// The announced length is over [`MAX_FRAME_BYTES`].
    #[error("frame of {0} bytes is over the limit of {MAX_FRAME_BYTES}")]
    TooLong(usize),
    /// The bytes are not the expected message.
    #[error("frame does not decode")]
    Decode(#[from] prost::DecodeError),
}

/// Reads one frame.
///
/// # Errors
/// Any [`FrameError`]; the connection is of no use afterwards.
pub async fn read_frame<M: Message + Default>(from: &mut (impl AsyncRead + Unpin)) -> Result<M, FrameError> {
    let length = from.read_u32().await? as usize;
    if length > MAX_FRAME_BYTES {
        return Err(FrameError::TooLong(length));
    }
    let mut bytes = vec![0; length];
    from.read_exact(&mut bytes).await?;
    Ok(M::decode(bytes.as_slice())?)
}

/// Writes one frame in a single write and flushes it.
///
/// # Errors
/// [`FrameError::TooLong`] before anything is written, or [`FrameError::Io`].
pub async fn write_frame(
    to: &mut (impl AsyncWrite + Unpin),
    message: &impl Message,
) -> Result<(), FrameError> {
    let length = message.encoded_len();
    if length > MAX_FRAME_BYTES {
        return Err(FrameError::TooLong(length));
    }
    let mut bytes = Vec::with_capacity(4 + length);
    bytes.extend_from_slice(&u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes());
    message.encode_raw(&mut bytes);
    to.write_all(&bytes).await?;
    to.flush().await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::v1;

    #[tokio::test]
    async fn a_message_comes_back_whole() {
        let (mut a, mut b) = tokio::io::duplex(16);
        let sent = v1::Hello { protocol: 7, agent_version: "x".repeat(1000), ..Default::default() };
        let writing = write_frame(&mut a, &sent);
        let (written, read) = tokio::join!(writing, read_frame::<v1::Hello>(&mut b));
        written.unwrap();
        assert_eq!(read.unwrap(), sent);
    }

    #[tokio::test]
    async fn a_hostile_length_allocates_nothing() {
        let mut bytes: &[u8] = &[0xff, 0xff, 0xff, 0xff, 0];
        assert!(matches!(read_frame::<v1::Hello>(&mut bytes).await, Err(FrameError::TooLong(_))));
    }

    #[tokio::test]
    async fn a_cut_frame_is_an_error() {
        let mut bytes: &[u8] = &[0, 0, 0, 9, 1, 2];
        assert!(matches!(read_frame::<v1::Hello>(&mut bytes).await, Err(FrameError::Io(_))));
    }
}
