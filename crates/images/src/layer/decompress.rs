//! Whatever a layer is compressed with, told by its first bytes, since media types lie.

use std::io::{self, BufRead, Read};
use std::sync::mpsc::{SyncSender, sync_channel};

use ruzstd::decoding::FrameDecoder;
use ruzstd::decoding::errors::{FrameDecoderError, ReadFrameHeaderError};

use super::gzip::Gzip;
use super::pipe::{Lender, Piece, PipeReader};

const PIECES_AHEAD: usize = 8;
/// For the dictionary of the strongest of xz's own levels.
const XZ_MEMORY_KIB: u32 = 80 << 10;

/// What a stream is compressed with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Compression {
    /// With nothing that is known here.
    Plain,
    Gzip,
    Zstd,
    Xz,
    Bzip2,
}

impl Compression {
    /// Of a layer's media type (`layer.md` of the image specification).
    pub(crate) fn suffix(self) -> &'static str {
        match self {
            Self::Gzip => "+gzip",
            Self::Zstd => "+zstd",
            Self::Plain | Self::Xz | Self::Bzip2 => "",
        }
    }

    fn of(magic: &[u8]) -> Self {
        match magic {
            [0x1f, 0x8b, ..] => Self::Gzip,
            // A frame, or a skippable frame before the first.
            [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Self::Zstd,
            [0xfd, b'7', b'z', b'X', b'Z', 0] => Self::Xz,
            [b'B', b'Z', b'h', b'1'..=b'9', ..] => Self::Bzip2,
            _ => Self::Plain,
        }
    }
}

/// Takes a stream's first bytes, which tell its compression.
pub(crate) fn sniff(blob: &mut impl Read) -> io::Result<(Vec<u8>, Compression)> {
    // The first piece may be as short as the network likes.
    let mut magic = Vec::new();
    blob.take(6).read_to_end(&mut magic)?;
    let compression = Compression::of(&magic);
    Ok((magic, compression))
}

/// The tar inside `blob`.
pub(crate) fn decompressed<'a, R: BufRead + Send + 'a>(mut blob: R) -> io::Result<Box<dyn Read + Send + 'a>> {
    let (magic, compression) = sniff(&mut blob)?;
    let blob = io::Cursor::new(magic).chain(blob);
    Ok(match compression {
        Compression::Gzip => Box::new(Gzip::new(blob)),
        Compression::Zstd => Box::new(Zstd::new(blob)),
        Compression::Xz => Box::new(lzma_rust2::XzReader::new_mem_limit(blob, true, XZ_MEMORY_KIB)),
        Compression::Bzip2 => Box::new(bzip2::bufread::MultiBzDecoder::new(blob)),
        Compression::Plain => Box::new(blob),
    })
}

/// Decompresses `blob` in a thread of its own, ahead of `work`: the costliest stage of a layer.
pub(crate) fn ahead<R: BufRead + Send, T>(blob: R, work: impl FnOnce(PipeReader) -> T) -> io::Result<T> {
    let (sender, receiver) = sync_channel(PIECES_AHEAD);
    std::thread::scope(|scope| {
        std::thread::Builder::new().name("decompress".into()).spawn_scoped(scope, move || {
            let end = pump(blob, &sender).unwrap_or_else(Piece::Failed);
            // A worker that has gone does not need the end.
            let _ = sender.send(end);
        })?;
        Ok(work(PipeReader::new(receiver)))
    })
}

fn pump(blob: impl BufRead + Send, to: &SyncSender<Piece>) -> io::Result<Piece> {
    let mut tar = decompressed(blob)?;
    let mut lender = Lender::default();
    loop {
        let piece = lender.fill(&mut tar)?;
        if piece.is_empty() || to.send(Piece::Bytes(piece)).is_err() {
            return Ok(Piece::End);
        }
    }
}

/// All frames of a zstd stream, one after the other (RFC 8878, section 3).
struct Zstd<R> {
    blob: R,
    decoder: Box<FrameDecoder>,
    within: bool,
}

impl<R: BufRead> Zstd<R> {
    fn new(blob: R) -> Self {
        Self { blob, decoder: Box::new(FrameDecoder::new()), within: false }
    }

    /// Begins the next frame; false at the end.
    fn next_frame(&mut self) -> io::Result<bool> {
        while !self.blob.fill_buf()?.is_empty() {
            match self.decoder.reset(&mut self.blob) {
                Ok(()) => return Ok(true),
                Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame {
                    length,
                    ..
                })) => {
                    io::copy(&mut self.blob.by_ref().take(length.into()), &mut io::sink())?;
                }
                Err(error) => return Err(broken(error)),
            }
        }
        Ok(false)
    }
}

impl<R: BufRead> Read for Zstd<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        use ruzstd::decoding::BlockDecodingStrategy::UptoBytes;
        loop {
            if !self.within {
                if !self.next_frame()? {
                    return Ok(0);
                }
                self.within = true;
            }
            while self.decoder.can_collect() < buffer.len() && !self.decoder.is_finished() {
                self.decoder.decode_blocks(&mut self.blob, UptoBytes(128 << 10)).map_err(broken)?;
            }
            let count = self.decoder.read(buffer)?;
            if count > 0 || buffer.is_empty() {
                return Ok(count);
            }
            self.within = false;
        }
    }
}

fn broken(error: FrameDecoderError) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn read(blob: &[u8]) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        decompressed(io::BufReader::with_capacity(7, blob))?.read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn zstd(bytes: &[u8]) -> Vec<u8> {
        ruzstd::encoding::compress_to_vec(bytes, ruzstd::encoding::CompressionLevel::Fastest)
    }

    #[test]
    fn every_form_is_told_apart() {
        let text = b"the same bytes ".repeat(50_000);
        assert_eq!(read(&text).unwrap(), text);
        assert_eq!(read(&gzip(&text)).unwrap(), text);
        assert_eq!(read(&zstd(&text)).unwrap(), text);
        assert_eq!(read(b"").unwrap(), b"");
        assert_eq!(read(b"ab").unwrap(), b"ab");
    }

    #[test]
    fn streams_of_several_members_are_read_to_the_end() {
        assert_eq!(read(&[gzip(b"a"), gzip(b"b")].concat()).unwrap(), b"ab");
        let skippable = [&[0x51, 0x2a, 0x4d, 0x18, 3, 0, 0, 0][..], b"xyz"].concat();
        assert_eq!(read(&[zstd(b"a"), skippable.clone(), zstd(b"b")].concat()).unwrap(), b"ab");
        assert_eq!(read(&[skippable, zstd(b"b")].concat()).unwrap(), b"b");
    }

    #[test]
    fn short_streams_are_errors() {
        let text = b"the same bytes ".repeat(5_000);
        for blob in [gzip(&text), zstd(&text)] {
            assert!(read(&blob[..blob.len() - 5]).is_err());
            assert!(read(&blob[..5]).is_err());
        }
    }
}
