//! gzip (RFC 1952) without its CRC: a blob's digest has been checked or will be, and computing another sum over
//! every byte costs a thirtieth of a pull. Lengths are checked, for they cost nothing.

use std::io::{self, BufRead, Read};

use flate2::bufread::DeflateDecoder;

const FHCRC: u8 = 1 << 1;
const FEXTRA: u8 = 1 << 2;
const FNAME: u8 = 1 << 3;
const FCOMMENT: u8 = 1 << 4;
/// Bits that must be zero.
const RESERVED: u8 = 0b1110_0000;

/// All members of a gzip stream, one after the other.
pub(super) struct Gzip<R> {
    deflate: DeflateDecoder<R>,
    within: bool,
    /// Of the present member, modulo 2³².
    length: u32,
}

impl<R: BufRead> Gzip<R> {
    pub(super) fn new(blob: R) -> Self {
        Self { deflate: DeflateDecoder::new(blob), within: false, length: 0 }
    }

    /// Reads the next member's header; false at the end of the stream.
    fn begin(&mut self) -> io::Result<bool> {
        let blob = self.deflate.get_mut();
        if blob.fill_buf()?.is_empty() {
            return Ok(false);
        }
        let mut header = [0; 10];
        blob.read_exact(&mut header)?;
        let flags = header[3];
        if header[..3] != [0x1f, 0x8b, 8] || flags & RESERVED != 0 {
            return Err(invalid("no gzip header"));
        }
        if flags & FEXTRA != 0 {
            let mut length = [0; 2];
            blob.read_exact(&mut length)?;
            skip(blob, u64::from(u16::from_le_bytes(length)))?;
        }
        for text in [FNAME, FCOMMENT] {
            if flags & text != 0 {
                skip_text(blob)?;
            }
        }
        if flags & FHCRC != 0 {
            skip(blob, 2)?;
        }
        self.deflate.reset_data();
        (self.within, self.length) = (true, 0);
        Ok(true)
    }

    /// Reads the member's trailer: CRC and length.
    fn end(&mut self) -> io::Result<()> {
        let mut trailer = [0; 8];
        self.deflate.get_mut().read_exact(&mut trailer)?;
        self.within = false;
        if trailer[4..] != self.length.to_le_bytes() {
            return Err(invalid("a gzip member has another length than it says"));
        }
        Ok(())
    }
}

impl<R: BufRead> Read for Gzip<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        while self.within || self.begin()? {
            let count = self.deflate.read(buffer)?;
            if count > 0 {
                // At most a buffer's length, which is below 2³² everywhere that counts.
                self.length = self.length.wrapping_add(count as u32);
                return Ok(count);
            }
            self.end()?;
        }
        Ok(0)
    }
}

fn invalid(why: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}

fn skip(blob: &mut impl Read, count: u64) -> io::Result<()> {
    if io::copy(&mut blob.by_ref().take(count), &mut io::sink())? == count {
        return Ok(());
    }
    Err(io::ErrorKind::UnexpectedEof.into())
}

fn skip_text(blob: &mut impl Read) -> io::Result<()> {
    let mut byte = [0xff];
    while byte != [0] {
        blob.read_exact(&mut byte)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use flate2::{Compression, GzBuilder};

    use super::*;

    fn member(text: &[u8]) -> Vec<u8> {
        let builder = GzBuilder::new().filename("layer.tar").comment("a comment").extra(vec![1, 2, 3]);
        let mut encoder = builder.write(Vec::new(), Compression::default());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }

    fn read(blob: &[u8]) -> io::Result<Vec<u8>> {
        let mut text = Vec::new();
        Gzip::new(blob).read_to_end(&mut text).map(|_| text)
    }

    #[test]
    fn members_follow_each_other() {
        let text = b"ahoy ".repeat(100_000);
        assert_eq!(read(&member(&text)).unwrap(), text);
        let two = [member(b"one"), member(b""), member(&text)].concat();
        assert_eq!(read(&two).unwrap(), [&b"one"[..], &text].concat());
        assert_eq!(read(b"").unwrap(), b"");
    }

    #[test]
    fn what_is_cut_or_no_gzip_is_an_error() {
        let whole = member(&b"ahoy ".repeat(1000));
        for length in 1..whole.len() {
            assert!(read(&whole[..length]).is_err(), "{length} of {} bytes", whole.len());
        }
        assert!(read(&[&whole[..], b"junk after it"].concat()).is_err());
        let mut longer = whole.clone();
        let last = longer.len() - 1;
        longer[last] ^= 1;
        assert!(read(&longer).is_err());
    }
}
