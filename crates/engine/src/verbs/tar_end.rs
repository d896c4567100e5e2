//! A tar from the guest, which breaks off where the guest fails: only its end mark (two blocks of zeros) tells
//! that it is whole.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, ReadBuf};

/// The end mark.
const MARK_BYTES: usize = 1024;

/// Ends with an error where the mark lacks.
pub(super) struct Whole<R> {
    from: R,
    /// Zeros at the end of what came so far.
    zeros: usize,
}

impl<R> Whole<R> {
    pub(super) fn new(from: R) -> Self {
        Self { from, zeros: 0 }
    }
}

impl<R: AsyncRead + Unpin> AsyncRead for Whole<R> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.from).poll_read(cx, buf))?;
        let new = &buf.filled()[before..];
        if new.is_empty() {
            if self.zeros < MARK_BYTES && buf.remaining() > 0 {
                let text = "the archive from the VM broke off";
                return Poll::Ready(Err(io::Error::new(io::ErrorKind::UnexpectedEof, text)));
            }
            return Poll::Ready(Ok(()));
        }
        let zeros = new.iter().rev().take_while(|&&byte| byte == 0).count();
        self.zeros = if zeros == new.len() { self.zeros.saturating_add(zeros) } else { zeros };
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt as _;

    use super::*;

    #[tokio::test]
    async fn only_a_whole_archive_ends() {
        let whole = [vec![7; 512], vec![0; 1024]].concat();
        for (bytes, ends) in
            [(&whole[..], true), (&whole[..1535], false), (&whole[..512], false), (&[][..], false)]
        {
            let read = Whole::new(bytes).read_to_end(&mut Vec::new()).await;
            assert_eq!(read.is_ok(), ends, "{}", bytes.len());
        }
    }
}
