//! Words as a shell splits them, with quotes, backslashes and variables (`moby/buildkit`, `shell.Lex`).

use super::{Refusal, error};

/// Splits with these variables.
pub(super) struct Words<'a> {
    env: &'a [String],
}

impl<'a> Words<'a> {
    pub(super) fn new(env: &'a [String]) -> Self {
        Self { env }
    }

    fn variable(&self, name: &str) -> Option<&str> {
        self.env
            .iter()
            .find_map(|entry| entry.split_once('=').filter(|(key, _)| *key == name))
            .map(|(_, v)| v)
    }

    /// The text as words.
    pub(super) fn split(&self, text: &str) -> Result<Vec<String>, Refusal> {
        self.scan(text, true)
    }

    /// The text as one word.
    pub(super) fn expand(&self, text: &str) -> Result<String, Refusal> {
        Ok(self.scan(text, false)?.into_iter().next().unwrap_or_default())
    }

    fn scan(&self, text: &str, split: bool) -> Result<Vec<String>, Refusal> {
        let mut words = Vec::new();
        let mut word: Option<String> = None;
        let mut quote = None;
        let mut rest = text;
        while let Some(c) = rest.chars().next() {
            rest = &rest[c.len_utf8()..];
            match (quote, c) {
                (None, c) if split && c.is_whitespace() => words.extend(word.take()),
                (None, '\'' | '"') => {
                    quote = Some(c);
                    word.get_or_insert_default();
                }
                (Some(open), c) if open == c => quote = None,
                (None | Some('"'), '\\') => {
                    let escaped = rest.chars().next();
                    rest = &rest[escaped.map_or(0, char::len_utf8)..];
                    let word = word.get_or_insert_default();
                    if quote.is_some() && !matches!(escaped, Some('"' | '\\' | '$')) {
                        word.push('\\');
                    }
                    word.extend(escaped);
                }
                (None | Some('"'), '$') => {
                    let (value, behind) = self.dollar(rest)?;
                    word.get_or_insert_default().push_str(&value);
                    rest = behind;
                }
                (_, c) => word.get_or_insert_default().push(c),
            }
        }
        if let Some(quote) = quote {
            return Err(error(format!(
                "unexpected end of statement while looking for matching {}-quote",
                if quote == '"' { "double" } else { "single" }
            )));
        }
        words.extend(word);
        Ok(words)
    }

    /// What stands behind a dollar sign: `name`, `{name}`, `{name:-default}`, `{name:+other}`.
    fn dollar<'t>(&self, text: &'t str) -> Result<(String, &'t str), Refusal> {
        let name_end =
            |text: &str| text.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(text.len());
        let Some(braced) = text.strip_prefix('{') else {
            let end = name_end(text);
            if end == 0 {
                return Ok(("$".to_owned(), text));
            }
            return Ok((self.variable(&text[..end]).unwrap_or_default().to_owned(), &text[end..]));
        };
        let (inner, behind) =
            braced.split_once('}').ok_or_else(|| error("syntax error: missing '}' in substitution"))?;
        let end = name_end(inner);
        let value = self.variable(&inner[..end]).filter(|value| !value.is_empty());
        let value = match inner.get(end..end + 2) {
            Some(":-") => value.map_or_else(|| self.expand(&inner[end + 2..]), |v| Ok(v.to_owned()))?,
            Some(":+") => match value {
                Some(_) => self.expand(&inner[end + 2..])?,
                None => String::new(),
            },
            _ if end == inner.len() && end > 0 => value.unwrap_or_default().to_owned(),
            _ => return Err(error(format!("unsupported modifier in substitution: ${{{inner}}}"))),
        };
        Ok((value, behind))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_a_shells() {
        let env = ["A=one".to_owned(), "E=".to_owned()];
        for (text, expected) in [
            ("a  b", vec!["a", "b"]),
            ("a\\ b c", vec!["a b", "c"]),
            ("\"a $A\" '$A'", vec!["a one", "$A"]),
            ("x${A}y $B", vec!["xoney", ""]),
            ("${E:-d} ${A:+p} ${B:+p}", vec!["d", "p", ""]),
            ("''", vec![""]),
            ("$", vec!["$"]),
        ] {
            assert_eq!(Words::new(&env).split(text).unwrap(), expected, "{text}");
        }
        for text in ["\"a", "${A", "${A@x}"] {
            assert!(Words::new(&env).split(text).is_err(), "{text}");
        }
    }
}
