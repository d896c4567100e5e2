//! The instructions of a Dockerfile that a commit may apply to the new image's configuration (`builder/dockerfile`'s
//! `BuildFromConfig`).

use bollard_stubs::models::{HealthConfig, ImageConfig};

use super::Refusal;

mod words;

use words::Words;

/// Those that only change the configuration.
const KNOWN: [&str; 11] = [
    "CMD",
    "ENTRYPOINT",
    "ENV",
    "EXPOSE",
    "HEALTHCHECK",
    "LABEL",
    "ONBUILD",
    "STOPSIGNAL",
    "USER",
    "VOLUME",
    "WORKDIR",
];

fn error(text: impl Into<String>) -> Refusal {
    Refusal::Change(text.into())
}

/// Lines, with those joined that end in a backslash; comments and empty ones left out.
fn lines(changes: &[String]) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    let mut open = false;
    for line in changes.iter().flat_map(|change| change.lines()) {
        let trimmed = line.trim();
        if trimmed.starts_with('#') || (trimmed.is_empty() && !open) {
            continue;
        }
        let (text, goes_on) = trimmed.strip_suffix('\\').map_or((trimmed, false), |text| (text, true));
        match lines.last_mut() {
            Some(last) if open => last.push_str(text),
            _ => lines.push(text.to_owned()),
        }
        open = goes_on;
    }
    lines
}

/// Applies instructions to a configuration.
pub(super) fn apply(config: &mut ImageConfig, changes: &[String]) -> Result<(), Refusal> {
    let mut command_set = false;
    for line in lines(changes) {
        let (name, rest) = line.split_once(char::is_whitespace).unwrap_or((&line, ""));
        let (name, rest) = (name.to_ascii_uppercase(), rest.trim());
        if !KNOWN.contains(&name.as_str()) {
            return Err(error(format!("{name} is not a valid change command")));
        }
        if rest.is_empty() {
            return Err(error(format!("{name} requires at least one argument")));
        }
        command_set |= name == "CMD";
        instruction(config, &name, rest, command_set)?;
    }
    Ok(())
}

fn instruction(config: &mut ImageConfig, name: &str, rest: &str, command_set: bool) -> Result<(), Refusal> {
    let env = config.env.clone().unwrap_or_default();
    let words = || Words::new(&env).split(rest);
    let one = || Words::new(&env).expand(rest);
    match name {
        "CMD" => config.cmd = Some(command(rest)),
        "ENTRYPOINT" => {
            config.entrypoint = Some(command(rest));
            if !command_set {
                config.cmd = None;
            }
        }
        "ENV" => {
            let variables = config.env.get_or_insert_default();
            for (key, value) in pairs(name, rest, &env)? {
                let entry = format!("{key}={value}");
                match variables.iter_mut().find(|old| old.split('=').next() == Some(&key)) {
                    Some(old) => *old = entry,
                    None => variables.push(entry),
                }
            }
        }
        "LABEL" => config.labels.get_or_insert_default().extend(pairs(name, rest, &env)?),
        "EXPOSE" => {
            let ports = config.exposed_ports.get_or_insert_default();
            for word in words()? {
                for port in expose(&word)? {
                    if !ports.contains(&port) {
                        ports.push(port);
                    }
                }
            }
        }
        "USER" => config.user = Some(one()?),
        "WORKDIR" => {
            let folder = one()?;
            let folder = match config.working_dir.as_deref().filter(|old| !old.is_empty()) {
                _ if folder.starts_with('/') => folder,
                Some(old) => format!("{}/{folder}", old.trim_end_matches('/')),
                None => format!("/{folder}"),
            };
            config.working_dir = Some(folder);
        }
        "VOLUME" => {
            let list = match json(rest) {
                Some(list) => list,
                None => words()?,
            };
            let volumes = config.volumes.get_or_insert_default();
            for volume in list {
                if volume.trim().is_empty() {
                    return Err(error("VOLUME specified can not be an empty string"));
                }
                if !volumes.contains(&volume) {
                    volumes.push(volume);
                }
            }
        }
        "STOPSIGNAL" => {
            let signal = one()?;
            crate::signal::parse(&signal).map_err(|_| error(format!("invalid signal: {signal}")))?;
            config.stop_signal = Some(signal);
        }
        "ONBUILD" => {
            let trigger = rest.split_whitespace().next().unwrap_or_default().to_ascii_uppercase();
            match trigger.as_str() {
                "ONBUILD" => return Err(error("Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed")),
                "MAINTAINER" | "FROM" => {
                    return Err(error(format!("{trigger} isn't allowed as an ONBUILD trigger")));
                }
                _ => config.on_build.get_or_insert_default().push(rest.to_owned()),
            }
        }
        "HEALTHCHECK" => config.healthcheck = Some(healthcheck(rest)?),
        other => return Err(error(format!("{other} is not a valid change command"))),
    }
    Ok(())
}

/// A list in JSON, as the exec form is written.
fn json(text: &str) -> Option<Vec<String>> {
    text.starts_with('[').then(|| serde_json::from_str(text).ok()).flatten()
}

/// The exec form, or a line for the shell.
fn command(text: &str) -> Vec<String> {
    json(text).unwrap_or_else(|| ["/bin/sh", "-c", text].map(str::to_owned).to_vec())
}

/// `a=b c="d e"`, or for one variable `a b`.
fn pairs(name: &str, text: &str, env: &[String]) -> Result<Vec<(String, String)>, Refusal> {
    let first = text.split_whitespace().next().unwrap_or_default();
    if !first.contains('=') {
        let (key, value) = text
            .split_once(char::is_whitespace)
            .ok_or_else(|| error(format!("{name} must have two arguments")))?;
        return Ok(vec![(key.to_owned(), Words::new(env).expand(value.trim())?)]);
    }
    let words = Words::new(env).split(text)?;
    let pair = |word: String| match word.split_once('=') {
        Some(("", _)) => Err(error(format!("{name} names can not be blank"))),
        Some((key, value)) => Ok((key.to_owned(), value.to_owned())),
        None => {
            Err(error(format!("Syntax error - can't find = in {word:?}. Must be of the form: name=value")))
        }
    };
    words.into_iter().map(pair).collect()
}

/// `80`, `80/udp`, `80-82/tcp`.
fn expose(text: &str) -> Result<Vec<String>, Refusal> {
    let bad = || error(format!("invalid containerPort: {text}"));
    let (range, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
    let protocol = protocol.to_ascii_lowercase();
    if !matches!(protocol.as_str(), "tcp" | "udp" | "sctp") {
        return Err(error(format!("invalid proto: {protocol}")));
    }
    let (from, to) = range.split_once('-').unwrap_or((range, range));
    let (from, to): (u16, u16) = (from.parse().map_err(|_| bad())?, to.parse().map_err(|_| bad())?);
    if from > to {
        return Err(bad());
    }
    Ok((from..=to).map(|port| format!("{port}/{protocol}")).collect())
}

fn healthcheck(text: &str) -> Result<HealthConfig, Refusal> {
    let mut config = HealthConfig::default();
    let mut rest = text;
    while let Some(flag) = rest.strip_prefix("--") {
        let (flag, behind) = flag.split_once(char::is_whitespace).unwrap_or((flag, ""));
        rest = behind.trim_start();
        let (name, value) =
            flag.split_once('=').ok_or_else(|| error(format!("missing a value on flag: {flag}")))?;
        let duration = || {
            crate::time::go_duration(value)
                .ok_or_else(|| error(format!("time: invalid duration {value:?}")))
                .map(Some)
        };
        match name {
            "interval" => config.interval = duration()?,
            "timeout" => config.timeout = duration()?,
            "start-period" => config.start_period = duration()?,
            "start-interval" => config.start_interval = duration()?,
            "retries" => {
                let retries = value.parse::<i64>().ok().filter(|&n| n >= 0);
                config.retries = Some(retries.ok_or_else(|| error(format!("invalid retries {value:?}")))?);
            }
            other => return Err(error(format!("unknown flag: {other}"))),
        }
    }
    let (kind, command) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
    let command = command.trim();
    config.test = Some(match kind.to_ascii_uppercase().as_str() {
        "NONE" if command.is_empty() => vec!["NONE".to_owned()],
        "NONE" => return Err(error("HEALTHCHECK NONE takes no arguments")),
        "CMD" if command.is_empty() => return Err(error("Missing command after HEALTHCHECK CMD")),
        "CMD" => match json(command) {
            Some(list) => [vec!["CMD".to_owned()], list].concat(),
            None => vec!["CMD-SHELL".to_owned(), command.to_owned()],
        },
        other => return Err(error(format!("Unknown type {other:?} in HEALTHCHECK (try CMD)"))),
    });
    Ok(config)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn applied(changes: &[&str]) -> Result<ImageConfig, String> {
        let mut config = ImageConfig {
            env: Some(vec!["PATH=/bin".into(), "A=1".into()]),
            cmd: Some(vec!["old".into()]),
            working_dir: Some("/w".into()),
            ..ImageConfig::default()
        };
        let changes: Vec<_> = changes.iter().map(|&c| c.to_owned()).collect();
        apply(&mut config, &changes).map_err(|error| error.to_string())?;
        Ok(config)
    }

    #[test]
    fn instructions_change_the_configuration() {
        let list = |words: &[&str]| Some(words.iter().map(|&w| w.to_owned()).collect::<Vec<_>>());
        let config = applied(&[r#"CMD ["a", "b c"]"#, "entrypoint run it"]).unwrap();
        assert_eq!(config.cmd, list(&["a", "b c"]));
        assert_eq!(config.entrypoint, list(&["/bin/sh", "-c", "run it"]));
        assert_eq!(applied(&["ENTRYPOINT [\"x\"]"]).unwrap().cmd, None);
        let config = applied(&["ENV A=2 B=\"x y\" C=$A\\ z", "ENV D one two"]).unwrap();
        assert_eq!(config.env, list(&["PATH=/bin", "A=2", "B=x y", "C=1 z", "D=one two"]));
        let config = applied(&["EXPOSE 80 53/udp 8000-8001", "VOLUME /a /b", "VOLUME [\"/c\"]"]).unwrap();
        assert_eq!(config.exposed_ports, list(&["80/tcp", "53/udp", "8000/tcp", "8001/tcp"]));
        assert_eq!(config.volumes, list(&["/a", "/b", "/c"]));
        let config =
            applied(&["LABEL k=v 'q'='a b'", "USER me", "WORKDIR sub", "STOPSIGNAL SIGINT"]).unwrap();
        assert_eq!(config.labels.unwrap()["q"], "a b");
        assert_eq!((config.user.as_deref(), config.working_dir.as_deref()), (Some("me"), Some("/w/sub")));
        assert_eq!(config.stop_signal.as_deref(), Some("SIGINT"));
        let config =
            applied(&["ONBUILD RUN x", "HEALTHCHECK --interval=5s --retries=3 CMD check it"]).unwrap();
        assert_eq!(config.on_build, list(&["RUN x"]));
        let health = config.healthcheck.unwrap();
        assert_eq!((health.interval, health.retries), (Some(5_000_000_000), Some(3)));
        assert_eq!(health.test, list(&["CMD-SHELL", "check it"]));
    }

    #[test]
    fn others_are_refused() {
        for (change, text) in [
            ("RUN x", "RUN is not a valid change command"),
            ("ENV A", "ENV must have two arguments"),
            ("EXPOSE x", "invalid containerPort: x"),
            ("STOPSIGNAL odd", "invalid signal: odd"),
            ("CMD", "CMD requires at least one argument"),
            ("LABEL a=1 b", "Syntax error - can't find = in \"b\". Must be of the form: name=value"),
        ] {
            assert_eq!(applied(&[change]).unwrap_err(), text, "{change}");
        }
    }
}
