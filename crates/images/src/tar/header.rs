//! One 512-byte header block: field positions, numbers and checksum.

pub(super) const BLOCK: usize = 512;
pub(super) type Block = [u8; BLOCK];

/// Which dialect a header's magic announces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dialect {
    V7,
    Ustar,
    Star,
    Gnu,
}

pub(super) fn dialect(block: &Block) -> Dialect {
    match &block[257..265] {
        b"ustar  \0" => Dialect::Gnu,
        [b'u', b's', b't', b'a', b'r', 0, ..] if &block[508..512] == b"tar\0" => Dialect::Star,
        [b'u', b's', b't', b'a', b'r', 0, ..] => Dialect::Ustar,
        _ => Dialect::V7,
    }
}

pub(super) fn is_zero(block: &Block) -> bool {
    block.iter().all(|&b| b == 0)
}

/// The sum is over unsigned bytes; some old tars summed signed ones.
pub(super) fn checksum_matches(block: &Block) -> bool {
    let Some(stated) = number(&block[148..156]) else { return false };
    let blank = |i: usize| (148..156).contains(&i);
    let unsigned: u64 =
        block.iter().enumerate().map(|(i, &b)| if blank(i) { 32 } else { u64::from(b) }).sum();
    let signed: i64 =
        block.iter().enumerate().map(|(i, &b)| if blank(i) { 32 } else { i64::from(b as i8) }).sum();
    u64::try_from(stated).is_ok_and(|s| s == unsigned) || stated == signed
}

/// Bytes up to the first NUL.
pub(super) fn text(field: &[u8]) -> &[u8] {
    let end = field.iter().position(|&b| b == 0).unwrap_or(field.len());
    &field[..end]
}

/// A number field: octal text, or GNU's base-256 when the first bit is set. Blank is zero.
pub(super) fn number(field: &[u8]) -> Option<i64> {
    let (&first, rest) = field.split_first()?;
    if first & 0x80 != 0 {
        let negative = first & 0x40 != 0;
        let mut value: i128 = if negative { i128::from(first as i8) } else { i128::from(first & 0x3f) };
        for &b in rest {
            value = (value << 8) | i128::from(b);
            if i64::try_from(value).is_err() {
                return None;
            }
        }
        return i64::try_from(value).ok();
    }
    let trim = |b: &u8| *b == b' ' || *b == 0;
    let start = field.iter().position(|b| !trim(b)).unwrap_or(field.len());
    let digits = &field[start..];
    let end = digits.iter().position(trim).unwrap_or(digits.len());
    if digits[end..].iter().any(|b| !trim(b)) {
        return None;
    }
    let mut value: i64 = 0;
    for &b in &digits[..end] {
        let digit = b.checked_sub(b'0').filter(|d| *d < 8)?;
        value = value.checked_mul(8)?.checked_add(i64::from(digit))?;
    }
    Some(value)
}

/// The name, with ustar's prefix where the dialect has one.
pub(super) fn name(block: &Block) -> Vec<u8> {
    let name = text(&block[..100]);
    let prefix = match dialect(block) {
        Dialect::Ustar => text(&block[345..500]),
        Dialect::Star => text(&block[345..476]),
        Dialect::V7 | Dialect::Gnu => b"",
    };
    if prefix.is_empty() { name.to_vec() } else { [prefix, b"/", name].concat() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers() {
        for (field, value) in [
            (&b"0000644\0"[..], Some(0o644)),
            (b"   644 \0", Some(0o644)),
            (b"\0\0\0\0\0\0\0\0", Some(0)),
            (b"        ", Some(0)),
            (b"0000008\0", None),
            (b"12 34   ", None),
            (b"-000001\0", None),
            (b"77777777777777777777777\0", None),
            (b"\x80\0\0\0\0\0\x01\0", Some(256)),
            (b"\xff\xff\xff\xff\xff\xff\xff\xff", Some(-1)),
            (b"\x80\xff\xff\xff\xff\xff\xff\xff\xff", None),
            (b"\xc0\0\0\0\0\0\0\0\0\0\0\0", None),
        ] {
            assert_eq!(number(field), value, "{field:?}");
        }
    }
}
