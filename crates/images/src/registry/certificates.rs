//! `certs.d`: a folder for each registry, with authorities and certificates of the client
//! (`HOST[:PORT]/{*.crt,*.cert,*.key}`, as Docker reads them).

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::PullError;

/// Larger than any honest one.
const FILE_LIMIT_BYTES: u64 = 1 << 20;

/// What a registry's folders hold.
#[derive(Debug, Default)]
pub(crate) struct Certificates {
    pub(crate) authorities: Vec<reqwest::Certificate>,
    pub(crate) client: Option<reqwest::Identity>,
}

impl Certificates {
    /// Everything there is for `host[:port]`; nothing when there is no folder. Of several client
    /// certificates the first in the folders' order counts. Blocking.
    pub(crate) fn of(folders: &[PathBuf], host: &str) -> Result<Option<Self>, PullError> {
        // A host is a name, an address or either with a port: never a path.
        if host.is_empty() || host.starts_with('.') || host.contains(['/', '\\']) {
            return Ok(None);
        }
        let mut found: Option<Self> = None;
        for folder in folders {
            // Windows has no colons in names; Docker leaves them out there.
            let name = if cfg!(windows) { host.replace(':', "") } else { host.to_owned() };
            let folder = folder.join(name);
            match fs::read_dir(&folder) {
                Ok(entries) => {
                    let mut paths: Vec<_> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
                    paths.sort();
                    found.get_or_insert_default().add(&paths)?;
                }
                Err(error)
                    if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {}
                Err(error) => return Err(bad(&folder, &error)),
            }
        }
        Ok(found)
    }

    fn add(&mut self, paths: &[PathBuf]) -> Result<(), PullError> {
        for path in paths {
            match path.extension().and_then(|text| text.to_str()) {
                Some("crt") => {
                    let pem = read(path)?;
                    let read = reqwest::Certificate::from_pem_bundle(&pem).map_err(|e| bad(path, &e))?;
                    if read.is_empty() {
                        return Err(bad(path, &"it holds no certificate in PEM"));
                    }
                    self.authorities.extend(read);
                }
                Some("cert") => {
                    let key = path.with_extension("key");
                    if !paths.contains(&key) {
                        let (key, cert) = (name(&key), name(path));
                        let text = format!(
                            "missing key {key} for client certificate {cert}. CA certificates must use the extension .crt"
                        );
                        return Err(bad(path, &text));
                    }
                    let identity = reqwest::Identity::from_pkcs8_pem(&read(path)?, &pkcs8(&read(&key)?));
                    let identity = identity.map_err(|error| {
                        bad(&key, &format!("not a certificate with its key in PKCS #8: {error}"))
                    })?;
                    self.client.get_or_insert(identity);
                }
                Some("key") if !paths.contains(&path.with_extension("cert")) => {
                    let (key, cert) = (name(path), name(&path.with_extension("cert")));
                    return Err(bad(path, &format!("missing client certificate {cert} for key {key}")));
                }
                _ => {}
            }
        }
        Ok(())
    }
}

fn name(path: &Path) -> String {
    path.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned())
}

fn read(path: &Path) -> Result<Vec<u8>, PullError> {
    let metadata = fs::metadata(path).map_err(|error| bad(path, &error))?;
    if metadata.len() > FILE_LIMIT_BYTES {
        return Err(bad(path, &format!("larger than {FILE_LIMIT_BYTES} bytes")));
    }
    fs::read(path).map_err(|error| bad(path, &error))
}

fn bad(path: &Path, detail: &dyn std::fmt::Display) -> PullError {
    PullError::Certificates { path: path.to_owned(), detail: detail.to_string() }
}

/// An RSA key in the older form (PKCS #1) gets the newer one's frame (RFC 5208); anything else stays.
fn pkcs8(pem: &[u8]) -> Vec<u8> {
    const BEGIN: &str = "-----BEGIN RSA PRIVATE KEY-----";
    const END: &str = "-----END RSA PRIVATE KEY-----";
    use base64::Engine as _;
    let framed = || -> Option<String> {
        let text = std::str::from_utf8(pem).ok()?;
        let (_, rest) = text.split_once(BEGIN)?;
        let (body, _) = rest.split_once(END)?;
        // An encrypted one has headers, which are not base64.
        let body: String = body.split_ascii_whitespace().collect();
        let base64 = base64::engine::general_purpose::STANDARD;
        let key = base64.decode(body).ok()?;
        // version 0, AlgorithmIdentifier { rsaEncryption, NULL }
        let mut content = vec![2, 1, 0, 0x30, 13, 6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 13, 1, 1, 1, 5, 0];
        content.extend(der(0x04, &key));
        let encoded = base64.encode(der(0x30, &content));
        let lines: Vec<_> = encoded.as_bytes().chunks(64).map(String::from_utf8_lossy).collect();
        Some(format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", lines.join("\n")))
    };
    framed().map_or_else(|| pem.to_vec(), String::into_bytes)
}

/// One element of DER (X.690 section 8.1).
fn der(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = content.len();
    let mut bytes = vec![tag];
    if length < 0x80 {
        bytes.extend(u8::try_from(length));
    } else {
        let length = length.to_be_bytes();
        let used: Vec<u8> = length.iter().copied().skip_while(|byte| *byte == 0).collect();
        bytes.extend(u8::try_from(used.len()).map(|count| 0x80 | count));
        bytes.extend(used);
    }
    bytes.extend(content);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(files: &[(&str, &[u8])]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("r:5000")).unwrap();
        for (name, bytes) in files {
            fs::write(dir.path().join("r:5000").join(name), bytes).unwrap();
        }
        dir
    }

    #[cfg(unix)]
    #[test]
    fn what_is_incomplete_or_unreadable_is_named() {
        const X: &[u8] = b"x";
        for (files, expected) in [
            (&[("a.cert", X)][..], "missing key a.key for client certificate a.cert. CA certificates must"),
            (&[("a.key", X)], "missing client certificate a.cert for key a.key"),
            (&[("ca.crt", X)], "ca.crt"),
            (&[("a.cert", X), ("a.key", X)], "a.key"),
        ] {
            let dir = folder(files);
            let error = Certificates::of(&[dir.path().to_owned()], "r:5000").unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
        let dir = folder(&[("README", b"x")]);
        assert!(Certificates::of(&[dir.path().to_owned()], "r:5000").unwrap().is_some());
        assert!(Certificates::of(&[dir.path().to_owned()], "r:5001").unwrap().is_none());
    }

    #[test]
    fn no_host_leads_out_of_the_folder() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("certs.d")).unwrap();
        for host in ["..", "", "a/b", "../certs.d", "/"] {
            assert!(Certificates::of(&[dir.path().join("certs.d")], host).unwrap().is_none(), "{host}");
        }
    }

    #[test]
    fn lengths_are_ders() {
        assert_eq!(der(4, &[7; 3]), [4, 3, 7, 7, 7]);
        assert_eq!(der(4, &[0; 0x80])[..3], [4, 0x81, 0x80]);
        assert_eq!(der(4, &[0; 0x1234])[..4], [4, 0x82, 0x12, 0x34]);
        assert_eq!(pkcs8(b"-----BEGIN PRIVATE KEY-----"), b"-----BEGIN PRIVATE KEY-----");
    }
}
