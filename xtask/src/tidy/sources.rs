//! Rules for single files.

/// No file of code that somebody writes is longer.
const MOST_LINES: usize = 600;

/// Package registries' and mirrors' hosts: they are the user's settings, never the project's. In two halves, so that this
/// file keeps the rule.
const HOSTS: [(&str, &str); 7] = [
    ("deb.debian", ".org"),
    ("security.debian", ".org"),
    ("registry.npmjs", ".org"),
    ("index.crates", ".io"),
    ("static.crates", ".io"),
    ("files.pythonhosted", ".org"),
    ("ftp.debian", ".org"),
];

/// What is wrong with a file, each as `path:line: what`.
pub(super) fn findings(path: &str, text: &str, machine_paths: &[String]) -> Vec<String> {
    let mut found = Vec::new();
    let mut report = |line: usize, what: String| found.push(format!("{path}:{line}: {what}"));
    let ending = path.rsplit_once('.').map_or("", |(_, ending)| ending);
    let written = !text.starts_with("// Generated from ");
    let code = ["rs", "ts", "tsx", "svelte"].contains(&ending);
    if code && written && text.lines().count() > MOST_LINES {
        report(text.lines().count(), format!("longer than {MOST_LINES} lines"));
    }
    for (number, line) in (1..).zip(text.lines()) {
        for (one, other) in HOSTS {
            let host = format!("{one}{other}");
            if line.contains(&host) {
                report(number, format!("names the host {host}"));
            }
        }
        for machine in machine_paths {
            if line.contains(machine.as_str()) {
                report(number, "holds a path of this machine".to_owned());
            }
        }
    }
    if path.ends_with("package-lock.json") {
        for (number, _) in (1..).zip(text.lines()).filter(|(_, line)| line.contains("\"resolved\": \"http")) {
            report(number, "a resolved address: keep lock files free of them".to_owned());
        }
    }
    if ending == "rs" {
        for number in allows_without_reason(text) {
            report(number, "an allow without a reason".to_owned());
        }
        if !is_test(path) {
            for number in unwraps(text) {
                report(number, "unwrap outside of a test".to_owned());
            }
        }
    }
    found
}

/// Bodies of fuzz targets are tests, too: they find by panicking, and are in no program.
fn is_test(path: &str) -> bool {
    path.ends_with("tests.rs")
        || path.ends_with("fuzzing.rs")
        || path.starts_with("tests/")
        || path.contains("/tests/")
        || path.contains("/benches/")
}

/// Lines with an `unwrap` that are no comment and in no item under `#[cfg(test)]`. Relies on rustfmt's indentation: such an
/// item ends at the first line that closes a bracket at the depth of its attribute.
fn unwraps(text: &str) -> Vec<usize> {
    let mut found = Vec::new();
    let mut until: Option<String> = None;
    for (number, line) in (1..).zip(text.lines()) {
        if let Some(end) = &until {
            let done = line.starts_with(end.as_str()) || (line.ends_with(';') && !line.starts_with("    "));
            if done {
                until = None;
            }
            continue;
        }
        let code = line.trim_start();
        if ["#[cfg(test)]", "#[cfg(all(test,", "#[cfg(any(test,"].iter().any(|start| code.starts_with(start))
        {
            until = Some(format!("{}}}", &line[..line.len() - code.len()]));
        } else if !code.starts_with("//") && code.contains(concat!(".unwrap", "()")) {
            found.push(number);
        }
    }
    found
}

/// Lines of attributes that allow or expect a lint and do not say why.
fn allows_without_reason(text: &str) -> Vec<usize> {
    let mut found = Vec::new();
    let lines: Vec<&str> = text.lines().collect();
    for (index, line) in lines.iter().enumerate() {
        let code = line.trim_start();
        let starts = ["#[allow(", "#![allow(", "#[expect(", "#![expect("];
        if !starts.iter().any(|start| code.starts_with(start)) {
            continue;
        }
        let rest = &lines[index..];
        let end = rest.iter().position(|line| line.trim_end().ends_with(")]")).unwrap_or(0);
        if !rest[..=end].iter().any(|line| line.contains("reason")) {
            found.push(index + 1);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_each_kind() {
        let long = "x\n".repeat(MOST_LINES + 1);
        assert_eq!(findings("a.rs", &long, &[]), ["a.rs:601: longer than 600 lines"]);
        assert!(findings("a.txt", &long, &[]).is_empty());
        let host = format!("get x://{}{}/y", HOSTS[0].0, HOSTS[0].1);
        assert_eq!(findings("a.md", &host, &[]).len(), 1);
        assert_eq!(findings("a.md", "in /x/y/z", &["/x/y".into()]).len(), 1);
        let lock = "{\n\"resolved\": \"https://x\"\n}";
        assert_eq!(findings("ui/package-lock.json", lock, &[]).len(), 1);
    }

    #[test]
    fn unwraps_in_tests_and_comments_are_fine() {
        let call = concat!("x.unwrap", "();");
        let text = format!(
            "fn a() {{\n    {call}\n}}\n// {call}\n#[cfg(test)]\nmod tests {{\n    fn b() {{\n        {call}\n    }}\n}}\nfn c() {{ {call} }}\n"
        );
        assert_eq!(unwraps(&text), [2, 11]);
        let outside = format!("#[cfg(test)]\nmod tests;\nfn c() {{ {call} }}\n");
        assert_eq!(unwraps(&outside), [3]);
        assert!(findings("crates/x/tests/y.rs", &text, &[]).is_empty());
    }

    #[test]
    fn a_reason_may_stand_on_its_own_line() {
        let text = "#[allow(dead_code)]\n#[allow(\n    unused,\n    reason = \"x\"\n)]\n#[expect(a, reason = \"b\")]\n";
        assert_eq!(allows_without_reason(text), [1]);
    }
}
