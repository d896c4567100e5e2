//! Pax extended headers: `length key=value\n` records.

use super::sparse::Map;

/// What pax headers say about the next entry (or, global, about all that follow).
#[derive(Debug, Default, Clone)]
pub(super) struct Pax {
    pub(super) path: Option<Vec<u8>>,
    pub(super) link: Option<Vec<u8>>,
    pub(super) size: Option<u64>,
    pub(super) uid: Option<u32>,
    pub(super) gid: Option<u32>,
    pub(super) mtime: Option<(i64, u32)>,
    pub(super) xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    pub(super) sparse: Sparse,
}

/// The `GNU.sparse.*` keys of all three versions.
#[derive(Debug, Default, Clone)]
pub(super) struct Sparse {
    pub(super) major: Option<u64>,
    pub(super) minor: Option<u64>,
    pub(super) name: Option<Vec<u8>>,
    pub(super) real_size: Option<u64>,
    pub(super) map: Map,
    pub(super) seen: bool,
}

impl Pax {
    /// Takes all records of `body`; later ones win.
    pub(super) fn merge(&mut self, mut body: &[u8]) -> Result<(), &'static str> {
        while !body.is_empty() && body[0] != 0 {
            let space = body.iter().take(20).position(|&b| b == b' ').ok_or("a record without length")?;
            let length = decimal(&body[..space]).ok_or("a record's length is no number")?;
            let length = usize::try_from(length).ok().filter(|l| *l > space + 1 && *l <= body.len());
            let length = length.ok_or("a record's length is out of bounds")?;
            let (record, rest) = body.split_at(length);
            let record = record[space + 1..].strip_suffix(b"\n").ok_or("a record without newline")?;
            let equals = record.iter().position(|&b| b == b'=').ok_or("a record without \"=\"")?;
            self.set(&record[..equals], &record[equals + 1..])?;
            body = rest;
        }
        Ok(())
    }

    fn set(&mut self, key: &[u8], value: &[u8]) -> Result<(), &'static str> {
        let number = |what| decimal(value).ok_or(what);
        match key {
            b"path" => self.path = path(value)?,
            b"linkpath" => self.link = path(value)?,
            b"size" => self.size = unless_empty(value, || number("size is no number"))?,
            b"uid" => self.uid = unless_empty(value, || owner(value).ok_or("uid is no 32-bit number"))?,
            b"gid" => self.gid = unless_empty(value, || owner(value).ok_or("gid is no 32-bit number"))?,
            b"mtime" => self.mtime = unless_empty(value, || time(value).ok_or("mtime is no time"))?,
            b"GNU.sparse.major" => self.sparse.major = Some(number("GNU.sparse.major is no number")?),
            b"GNU.sparse.minor" => self.sparse.minor = Some(number("GNU.sparse.minor is no number")?),
            b"GNU.sparse.name" => self.sparse.name = path(value)?,
            b"GNU.sparse.size" | b"GNU.sparse.realsize" => {
                self.sparse.real_size = Some(number("GNU.sparse size is no number")?);
                self.sparse.seen = true;
            }
            b"GNU.sparse.numblocks" => self.sparse.seen = true,
            b"GNU.sparse.offset" | b"GNU.sparse.numbytes" => {
                self.sparse.map.push(number("GNU.sparse segment is no number")?)?;
                self.sparse.seen = true;
            }
            b"GNU.sparse.map" => {
                self.sparse.map = Map::default();
                for field in value.split(|&b| b == b',').filter(|f| !f.is_empty()) {
                    self.sparse.map.push(decimal(field).ok_or("GNU.sparse.map is no list of numbers")?)?;
                }
                self.sparse.seen = true;
            }
            _ => {
                if let Some(name) = key.strip_prefix(b"SCHILY.xattr.") {
                    self.set_xattr(name.to_vec(), value.to_vec(), true);
                } else if let Some(name) = key.strip_prefix(b"LIBARCHIVE.xattr.") {
                    let value = base64(value).ok_or("LIBARCHIVE.xattr is not base64")?;
                    self.set_xattr(percent_decoded(name), value, false);
                }
            }
        }
        Ok(())
    }

    /// libarchive writes both spellings of an attribute; SCHILY's needs no decoding and wins.
    fn set_xattr(&mut self, name: Vec<u8>, value: Vec<u8>, wins: bool) {
        match self.xattrs.iter_mut().find(|(n, _)| *n == name) {
            Some(known) if wins => known.1 = value,
            Some(_) => {}
            None => self.xattrs.push((name, value)),
        }
    }
}

fn unless_empty<T>(
    value: &[u8],
    parse: impl FnOnce() -> Result<T, &'static str>,
) -> Result<Option<T>, &'static str> {
    if value.is_empty() { Ok(None) } else { parse().map(Some) }
}

fn path(value: &[u8]) -> Result<Option<Vec<u8>>, &'static str> {
    if value.contains(&0) {
        return Err("a path holds a NUL byte");
    }
    Ok((!value.is_empty()).then(|| value.to_vec()))
}

/// Plain decimal digits, no sign.
pub(super) fn decimal(text: &[u8]) -> Option<u64> {
    if text.is_empty() || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(text).ok()?.parse().ok()
}

fn owner(text: &[u8]) -> Option<u32> {
    u32::try_from(decimal(text)?).ok()
}

/// Seconds with an optional sign and fraction; digits past nanoseconds are cut.
fn time(text: &[u8]) -> Option<(i64, u32)> {
    let (negative, text) = match text.strip_prefix(b"-") {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let point = text.iter().position(|&b| b == b'.');
    let (whole, fraction) = match point {
        Some(at) => (&text[..at], &text[at + 1..]),
        None => (text, &b""[..]),
    };
    let seconds = i64::try_from(decimal(whole)?).ok()?;
    if !fraction.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let digits = fraction.iter().copied().chain(std::iter::repeat(b'0')).take(9);
    let nanos = digits.fold(0u32, |n, d| n * 10 + u32::from(d - b'0'));
    Some(match (negative, nanos) {
        (false, _) => (seconds, nanos),
        (true, 0) => (-seconds, 0),
        (true, _) => (-seconds - 1, 1_000_000_000 - nanos),
    })
}

fn percent_decoded(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&first, tail)) = rest.split_first() {
        let mut byte = [0];
        if first == b'%' && tail.len() >= 2 && hex::decode_to_slice(&tail[..2], &mut byte).is_ok() {
            out.push(byte[0]);
            rest = &tail[2..];
        } else {
            out.push(first);
            rest = tail;
        }
    }
    out
}

fn base64(text: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len() * 3 / 4);
    let (mut bits, mut count) = (0u32, 0u32);
    for &b in text {
        let six = match b {
            b'A'..=b'Z' => b - b'A',
            b'a'..=b'z' => b - b'a' + 26,
            b'0'..=b'9' => b - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            b'=' => break,
            _ => return None,
        };
        bits = (bits << 6) | u32::from(six);
        count += 6;
        if count >= 8 {
            count -= 8;
            out.push((bits >> count) as u8);
            bits &= (1 << count) - 1;
        }
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(body: &[u8]) -> Result<Pax, &'static str> {
        let mut pax = Pax::default();
        pax.merge(body).map(|()| pax)
    }

    #[test]
    fn times() {
        for (text, value) in [
            ("1.5", Some((1, 500_000_000))),
            ("-1.5", Some((-2, 500_000_000))),
            ("-1", Some((-1, 0))),
            ("7", Some((7, 0))),
            ("7.1234567899", Some((7, 123_456_789))),
            ("", None),
            (".5", None),
            ("1.x", None),
            ("99999999999999999999", None),
        ] {
            assert_eq!(time(text.as_bytes()), value, "{text:?}");
        }
    }

    #[test]
    fn records() {
        let pax = parsed(b"12 path=a b\n29 SCHILY.xattr.user.k=a\nb=c\n34 LIBARCHIVE.xattr.user%2Ek=YQ==\n");
        let pax = pax.unwrap();
        assert_eq!(pax.path.unwrap(), b"a b");
        assert_eq!(pax.xattrs, [(b"user.k".to_vec(), b"a\nb=c".to_vec())]);
    }

    #[test]
    fn malformed_records_are_refused() {
        for body in [
            &b"5 a=b"[..],
            b"x path=a\n",
            b"99 path=a\n",
            b"3 \n",
            b"0 path=a\n",
            b"9 path_a\n",
            b"18446744073709551616 a=b\n",
            b"11 size=-1\n",
            b"18 uid=4294967296\n",
            b"11 path=a\0\n",
        ] {
            assert!(parsed(body).is_err(), "{:?}", String::from_utf8_lossy(body));
        }
    }
}
