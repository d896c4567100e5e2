//! Just enough HTTP for coracled's own routes and for WebDriver: one request, one JSON answer, one connection.

use anyhow::{Context, Result, bail};
use serde_json::Value;
use std::path::Path;

/// Sends a request and reads the answer.
#[cfg(unix)]
pub(super) fn ask(socket: &Path, method: &str, path: &str) -> Result<Value> {
    use std::io::{Read as _, Write as _};
    let name = || format!("{method} {path} on {}", socket.display());
    let mut stream = std::os::unix::net::UnixStream::connect(socket).with_context(name)?;
    let head = format!(
        "{method} {path} HTTP/1.0\r\nHost: coracle\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).with_context(name)?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).with_context(name)?;
    body(&answer).with_context(name)
}

#[cfg(not(unix))]
pub(super) fn ask(_socket: &Path, _method: &str, _path: &str) -> Result<Value> {
    bail!("the bench runs on Linux alone")
}

/// Sends JSON to a port of this machine and reads the answer.
pub(super) fn post(port: u16, method: &str, path: &str, json: &Value) -> Result<Value> {
    use std::io::{Read as _, Write as _};
    let name = || format!("{method} {path} on port {port}");
    let mut stream = std::net::TcpStream::connect(("127.0.0.1", port)).with_context(name)?;
    let json = if json.is_null() { String::new() } else { json.to_string() };
    let head = format!(
        "{method} {path} HTTP/1.0\r\nHost: 127.0.0.1:{port}\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{json}",
        json.len()
    );
    stream.write_all(head.as_bytes()).with_context(name)?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).with_context(name)?;
    body(&answer).with_context(name)
}

fn body(answer: &str) -> Result<Value> {
    let (head, body) = answer.split_once("\r\n\r\n").context("no HTTP")?;
    let status = head.split(' ').nth(1).unwrap_or_default();
    if !status.starts_with('2') {
        bail!("status {status}: {}", body.trim());
    }
    if body.trim().is_empty() {
        return Ok(Value::Null);
    }
    serde_json::from_str(body).context("no JSON")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_answers() {
        assert_eq!(body("HTTP/1.0 200 OK\r\na: b\r\n\r\n{\"x\":1}").unwrap()["x"], 1);
        assert_eq!(body("HTTP/1.0 204 No Content\r\n\r\n").unwrap(), Value::Null);
        assert!(
            body("HTTP/1.0 500 No\r\n\r\n{\"message\":\"m\"}").unwrap_err().to_string().contains("\"m\"")
        );
        assert!(body("nonsense").is_err());
    }
}
