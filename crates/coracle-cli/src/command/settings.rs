//! `coracle settings`.

use client::{Counts, SettingField};
use serde_json::{Map, Value, json};

use crate::args::Settings;
use crate::exit::{Exit, Failure};
use crate::output::Output;

pub(crate) async fn run(asked: Settings, out: Output) -> Result<Exit, Failure> {
    let client = super::connect().await?;
    let present = client.settings().await?;
    let values = serde_json::to_value(&present.values)?;
    let Some(key) = asked.key else {
        out.print(&present, |present| {
            let mut lines: Vec<_> = values
                .as_object()
                .into_iter()
                .flatten()
                .map(|(name, value)| format!("{name:20} {}{}", text(value), remark(present.fields.get(name))))
                .collect();
            lines
                .extend(present.problem.iter().map(|problem| format!("{problem}: the last good ones count")));
            lines.join("\n")
        })?;
        return Ok(Exit::OK);
    };
    let Some(value) = values.get(&key) else {
        let known: Vec<_> = values.as_object().into_iter().flatten().map(|(name, _)| name.as_str()).collect();
        return Err(Failure::new(format!("no setting {key:?}; there are {}", known.join(", "))));
    };
    let wanted = match (asked.value, asked.default) {
        (Some(typed), _) => parse(&typed, value),
        (None, true) => Value::Null,
        (None, false) => {
            out.print(&json!({ (key.as_str()): value }), |_| text(value))?;
            return Ok(Exit::OK);
        }
    };
    let changed = client.change_settings(&Map::from_iter([(key.clone(), wanted)])).await?;
    let value = serde_json::to_value(&changed.values)?[&key].clone();
    let remark = remark(changed.fields.get(&key));
    out.print(&json!({ (key.as_str()): value }), |_| format!("{key} is {}{remark}", text(&value)))?;
    Ok(Exit::OK)
}

/// What is typed for a setting that is like `present` now.
fn parse(typed: &str, present: &Value) -> Value {
    match (serde_json::from_str::<Value>(typed), present) {
        (Ok(list @ Value::Array(_)), Value::Array(_)) => list,
        // `a,b`, and nothing for no element.
        (_, Value::Array(_)) => typed.split(',').map(str::trim).filter(|part| !part.is_empty()).collect(),
        // A path or a word, whatever it looks like.
        (_, Value::String(_)) => typed.into(),
        (Ok(value), _) => value,
        (Err(_), _) => typed.into(),
    }
}

fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => "-".into(),
        Value::Array(all) if all.is_empty() => "-".into(),
        Value::Array(all) if all.iter().all(Value::is_string) => {
            all.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(",")
        }
        other => other.to_string(),
    }
}

/// What there is to know beside the value.
fn remark(field: Option<&SettingField>) -> String {
    let Some(field) = field else { return String::new() };
    let mut parts = Vec::new();
    match (field.pending, field.counts) {
        (true, Counts::VmRestart) => {
            parts.push("from the VM's next start on (coracle vm restart)".to_owned());
        }
        (true, _) => parts.push("from coracled's next start on".to_owned()),
        (false, _) => {}
    }
    parts.extend(field.overridden_by.iter().map(|by| format!("said by {by}, not by the file")));
    if parts.is_empty() { String::new() } else { format!("  ({})", parts.join("; ")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_typed_has_the_settings_own_form() {
        for (typed, present, expected) in [
            ("4096", json!(2048), json!(4096)),
            ("lots", json!(2048), json!("lots")),
            ("tcg", json!("auto"), json!("tcg")),
            ("1", json!("info"), json!("1")),
            ("/a,/b c", json!([]), json!(["/a", "/b c"])),
            ("", json!(["/a"]), json!([])),
            (r#"["/a"]"#, json!([]), json!(["/a"])),
            (r#"[{"url":"http://m"}]"#, json!([]), json!([{"url":"http://m"}])),
            (r#"{"http":"p"}"#, json!({}), json!({"http":"p"})),
            ("/usr/bin/qemu", Value::Null, json!("/usr/bin/qemu")),
        ] {
            assert_eq!(parse(typed, &present), expected, "{typed}");
        }
    }

    #[test]
    fn what_waits_is_said() {
        let waits = SettingField { pending: true, counts: Counts::VmRestart, ..SettingField::default() };
        assert!(remark(Some(&waits)).contains("coracle vm restart"));
        assert_eq!(remark(Some(&SettingField::default())), "");
    }
}
