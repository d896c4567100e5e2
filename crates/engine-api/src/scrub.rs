//! Cuts secrets out of text that leaves this computer: those that are known, and what looks like one.

use regex::Regex;

/// Stands in a secret's place.
const CUT: &str = "xxxxx";
/// A shorter one is cut where a pattern finds it; looked for everywhere it would take half of the text along.
const SHORTEST: usize = 4;

/// Knows what to cut.
pub(crate) struct Scrub {
    /// The longest first: one may hold another.
    known: Vec<String>,
    patterns: [(Regex, &'static str); 3],
}

impl Scrub {
    pub(crate) fn new(mut known: Vec<String>) -> Self {
        known.retain(|secret| secret.len() >= SHORTEST);
        known.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        known.dedup();
        let pattern = |text| Regex::new(text).expect("the patterns are constants");
        let patterns = [
            // Names and passwords in addresses.
            (pattern(r#"([A-Za-z][A-Za-z0-9+.-]*://)[^/\s@"'<>]+@"#), "${1}xxxxx@"),
            // Headers.
            (pattern(r"(?i)\b(bearer|basic)\s+[A-Za-z0-9+/_=.~-]{6,}"), "${1} xxxxx"),
            // Fields and variables that say what they are.
            (
                pattern(
                    r#"(?i)([A-Z0-9_.-]*(?:passw(?:or)?d|passphrase|secret|token|api_?key|access_?key|private_?key|credential)[A-Z0-9_.-]*["']?\s*[=:]\s*["']?)[^\s"',;&]+"#,
                ),
                "${1}xxxxx",
            ),
        ];
        Self { known, patterns }
    }

    pub(crate) fn text(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for secret in &self.known {
            if text.contains(secret) {
                text = text.replace(secret, CUT);
            }
        }
        for (pattern, instead) in &self.patterns {
            text = pattern.replace_all(&text, *instead).into_owned();
        }
        text
    }
}

/// Whether a variable of this name holds what nobody should read.
pub(crate) fn names_a_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    ["pass", "secret", "token", "key", "auth", "credential", "private", "cookie", "dsn"]
        .iter()
        .any(|part| name.contains(part))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_secrets_and_what_looks_like_one_are_cut() {
        let scrub =
            Scrub::new(["hunter2".to_owned(), "hunter2-and-more".to_owned(), "abc".to_owned()].into());
        for (text, expected) in [
            ("it was hunter2, then hunter2-and-more", "it was xxxxx, then xxxxx"),
            ("abc stays", "abc stays"),
            ("GET http://me:pw@proxy:3128/x", "GET http://xxxxx@proxy:3128/x"),
            ("http://proxy:3128/a@b", "http://proxy:3128/a@b"),
            ("Authorization: Basic bWU6cGFzcw==", "Authorization: Basic xxxxx"),
            ("DB_PASSWORD=letmein next", "DB_PASSWORD=xxxxx next"),
            (r#"{"identitytoken":"abcdef","a":1}"#, r#"{"identitytoken":"xxxxx","a":1}"#),
            ("the container ended with 3", "the container ended with 3"),
        ] {
            assert_eq!(scrub.text(text), expected);
        }
    }

    #[test]
    fn variables_are_told_by_their_names() {
        assert!(names_a_secret("POSTGRES_PASSWORD") && names_a_secret("AWS_ACCESS_KEY_ID"));
        assert!(!names_a_secret("PATH") && !names_a_secret("LANG"));
    }
}
