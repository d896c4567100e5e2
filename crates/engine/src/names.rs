//! Names of containers: Docker's rule, and names for those who give none.

use rand::seq::IndexedRandom as _;

use crate::error::Invalid;

/// A name without its slash.
pub(crate) fn parse(text: &str) -> Result<String, Invalid> {
    let name = text.strip_prefix('/').unwrap_or(text);
    let word = |b: u8| b.is_ascii_alphanumeric();
    let bytes = name.as_bytes();
    let fits = bytes.len() >= 2
        && word(bytes[0])
        && bytes[1..].iter().all(|&b| word(b) || matches!(b, b'_' | b'.' | b'-'));
    if fits { Ok(name.to_owned()) } else { Err(Invalid::Name(text.to_owned())) }
}

/// A name that nobody is likely to have; `attempt` above 3 adds a number, so that it ends.
pub(crate) fn generate(attempt: u32) -> String {
    let mut rng = rand::rng();
    let adjective = ADJECTIVES.choose(&mut rng).unwrap_or(&"calm");
    let surname = SURNAMES.choose(&mut rng).unwrap_or(&"moore");
    if attempt < 4 {
        format!("{adjective}_{surname}")
    } else {
        format!("{adjective}_{surname}{}", rand::random_range(0..100_000_u32))
    }
}

const ADJECTIVES: [&str; 40] = [
    "afloat",
    "amber",
    "ample",
    "brave",
    "breezy",
    "bright",
    "brisk",
    "buoyant",
    "calm",
    "candid",
    "clear",
    "coastal",
    "deft",
    "drifting",
    "eager",
    "even",
    "fair",
    "fleet",
    "gentle",
    "glad",
    "hardy",
    "jolly",
    "keen",
    "light",
    "lively",
    "lucid",
    "mellow",
    "nimble",
    "patient",
    "placid",
    "quiet",
    "ready",
    "sheltered",
    "snug",
    "steady",
    "sturdy",
    "sunny",
    "swift",
    "tidal",
    "wary",
];

/// Builders of boats, makers of charts, sailors and students of water.
const SURNAMES: [&str; 40] = [
    "ader",
    "agassiz",
    "baret",
    "beaufort",
    "bowditch",
    "brendan",
    "carson",
    "chichester",
    "cook",
    "cousteau",
    "drake",
    "earle",
    "ekman",
    "fitzroy",
    "froude",
    "galilei",
    "harrison",
    "hornell",
    "hudson",
    "kelvin",
    "kuroshio",
    "maury",
    "mercator",
    "moitessier",
    "moore",
    "nansen",
    "pytheas",
    "reynolds",
    "ross",
    "scoresby",
    "severin",
    "shackleton",
    "slocum",
    "stokes",
    "tabarly",
    "tasman",
    "tharp",
    "vasa",
    "zheng",
    "zhukov",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dockers_rule() {
        for text in ["ab", "/web", "a.b-c_D", "0x"] {
            assert!(parse(text).is_ok(), "{text}");
        }
        for text in ["", "a", "/", "-ab", "_a", "a b", "a/b", "ä1", "//ab"] {
            assert_eq!(parse(text), Err(Invalid::Name(text.to_owned())), "{text}");
        }
    }

    #[test]
    fn generated_names_are_valid() {
        for attempt in 0..200 {
            let name = generate(attempt);
            assert_eq!(parse(&name), Ok(name.clone()));
        }
        assert!(ADJECTIVES.iter().chain(&SURNAMES).all(|word| parse(word).is_ok()));
    }
}
