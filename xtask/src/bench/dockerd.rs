//! A pull by Docker Engine in an equal VM: Debian's `docker.io` in a privileged container of our own VM, which so has the
//! same arguments, kernel and disk, with a volume for its data and the VM's own network. It takes minutes, so it is
//! measured only when it is asked for.

use super::host::Host;
use super::images;
use super::registry::Registry;
use super::series::{Bar, Row, Series, Unit};
use super::wait;
use crate::apt;
use crate::{process, progress::step, tree::Tree};
use anyhow::{Context, Result};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

const MOST: f64 = 0.1;
const SUITE: &str = "bookworm";
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";
const IMAGE: &str = "bench/dockerd:1";
const DEADLINE: Duration = Duration::from_secs(120);

/// Measures once each.
pub(super) fn row(tree: &Tree, host: &Host) -> Result<Row> {
    let (layout, _) = images::layout(tree)?;
    let root = root(tree)?;
    let registry = Registry::start()?;
    let image = step("Pushing the image", || registry.push(&layout, "bench/large:1"))?;
    let seen = registry.reference_in_vm("bench/large:1");
    let host_and_port = seen.split('/').next().context("a reference has a host")?.to_owned();
    step("Importing Docker Engine", || {
        process::output(&mut host.docker(&["import", &root.display().to_string(), IMAGE])).map(drop)
    })?;
    let ours = host.timed(&["pull", "--quiet", &image])?;

    let engine =
        ["run", "--detach", "--privileged", "--network", "host", "--volume", "/var/lib/docker", IMAGE];
    let options = ["dockerd", "--iptables=false", "--bridge=none", "--insecure-registry", &host_and_port];
    let container = host.said(&[&engine[..], &options[..]].concat())?;
    let theirs = step("Pull by Docker Engine in the VM", || {
        let answers = || process::output(&mut host.docker(&["exec", &container, "docker", "version"])).ok();
        wait::until("Docker Engine answers", DEADLINE, answers)?;
        host.timed(&["exec", &container, "docker", "pull", "--quiet", &seen])
    });
    let version = host.said(&["exec", &container, "docker", "version", "--format", "{{.Server.Version}}"]);
    process::output(&mut host.docker(&["rm", "--force", "--volumes", &container]))?;
    process::output(&mut host.docker(&["rmi", "--force", IMAGE, &image]))?;
    Ok(Row {
        id: "pull-dockerd",
        what: "pull of 450 MB, against Docker Engine in an equal VM".to_owned(),
        unit: Unit::Seconds,
        ours: Series::of(ours),
        bar: Bar::Ratio { reference: Series::of(theirs?), most: MOST },
        notes: vec![format!(
            "Docker Engine {}, in a privileged container of the same VM; once each",
            version?
        )],
    })
}

/// A Debian root with Docker Engine as a tar, made once.
fn root(tree: &Tree) -> Result<PathBuf> {
    let tar = tree.target("bench/dockerd.tar");
    if tar.exists() {
        return Ok(tar);
    }
    step("Making a Debian root with Docker Engine", || {
        let partial = tree.target("bench/dockerd.partial.tar");
        std::fs::create_dir_all(partial.parent().unwrap_or(Path::new(".")))?;
        let source = format!("deb [signed-by={KEYRING}] {} {SUITE} main", apt::mirror::find()?);
        let mut make = Command::new("mmdebstrap");
        make.args(["--quiet", "--variant=minbase", "--format=tar", "--include=docker.io,iptables"]);
        make.args(["--dpkgopt=path-exclude=/usr/share/doc/*", "--dpkgopt=path-exclude=/usr/share/man/*"]);
        process::output(make.arg(SUITE).arg(&partial).arg(source))?;
        std::fs::rename(&partial, &tar)?;
        Ok(tar)
    })
}
