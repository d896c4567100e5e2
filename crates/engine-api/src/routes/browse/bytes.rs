//! Values of a query that are bytes, not text (RFC 3986 section 2.1).

use std::fmt::Write as _;

use http::Uri;

/// The value of `name`, unless missing or empty.
pub(super) fn value(uri: &Uri, name: &str) -> Option<Vec<u8>> {
    let mut pairs = uri.query().unwrap_or_default().split('&');
    let value = pairs.find_map(|pair| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        (decoded(key) == name.as_bytes()).then(|| decoded(value))
    });
    value.filter(|value| !value.is_empty())
}

/// As a query holds it.
pub(super) fn encoded(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for &byte in bytes {
        if byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte) {
            text.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            let _ = write!(text, "%{byte:02X}");
        }
    }
    text
}

/// As text, and encoded where text is not all of it.
pub(super) fn both(bytes: &[u8]) -> (String, Option<String>) {
    match std::str::from_utf8(bytes) {
        Ok(text) => (text.to_owned(), None),
        Err(_) => (String::from_utf8_lossy(bytes).into_owned(), Some(encoded(bytes))),
    }
}

/// What is no encoding stands for itself, as browsers have it.
fn decoded(text: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, behind)) = rest.split_first() {
        let hex = behind.get(..2).and_then(|hex| std::str::from_utf8(hex).ok());
        let code = hex.filter(|hex| hex.bytes().all(|b| b.is_ascii_hexdigit()));
        match (byte, code.and_then(|hex| u8::from_str_radix(hex, 16).ok())) {
            (b'%', Some(code)) => {
                bytes.push(code);
                rest = &behind[2..];
            }
            (b'+', _) => {
                bytes.push(b' ');
                rest = behind;
            }
            _ => {
                bytes.push(byte);
                rest = behind;
            }
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_go_through_a_query_and_back() {
        let all: Vec<u8> = (0..=255).collect();
        let uri: Uri = format!("/x?a=1&path={}&b", encoded(&all)).parse().unwrap();
        assert_eq!(value(&uri, "path").as_deref(), Some(&all[..]));
        assert_eq!(value(&uri, "b"), None);
        assert_eq!(value(&uri, "c"), None);
        assert_eq!(decoded("a%2Fb+c%zz%4"), b"a/b c%zz%4");
    }

    #[test]
    fn only_what_is_no_text_is_given_twice() {
        assert_eq!(both("ü".as_bytes()), ("ü".to_owned(), None));
        assert_eq!(both(b"a\xff"), ("a\u{fffd}".to_owned(), Some("a%FF".to_owned())));
    }
}
