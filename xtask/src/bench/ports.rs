//! A published nginx, against the same nginx behind QEMU's own `hostfwd`.
//!
//! Three ways: `-p` on the default bridge; `hostfwd` to the same container, whose packets the guest's kernel passes on,
//! as in a VM with Docker in it, which the rows are held against; and, for the notes, `hostfwd` to a container of the
//! same image on the VM's own network, which no published container is. They take turns.

use super::containers::{libraries, place, with_libraries, write_image};
use super::host::Host;
use super::monitor;
use super::registry::Registry;
use super::series::{Bar, Row, Series, Unit};
use super::wait;
use crate::{process, progress::step, tools, tree::Tree};
use anyhow::{Context, Result, bail};
use serde_json::json;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

const LEAST: f64 = 1.5;
const PAGE_BYTES: usize = 1_024;
const FILE_BYTES: usize = 50 << 20;
/// How long wrk asks each time.
const SECONDS: &str = "4";
const DEADLINE: Duration = Duration::from_secs(30);
/// Where the guest takes packets for the container on the bridge.
const PASSED_ON: u16 = 8_081;
/// As Debian configures it, but for the server's folder.
const CONFIG: &str = "user root;
worker_processes auto;
pid /run/nginx.pid;
error_log /var/log/nginx/error.log;
events { worker_connections 768; }
http {
    sendfile on;
    tcp_nopush on;
    access_log /var/log/nginx/access.log;
    server { listen 80; root /www; }
}
";

/// Requests, on connections that are kept and on one for each, and bytes of one way.
#[derive(Default)]
struct Way {
    port: u16,
    requests: Series,
    connections: Series,
    bytes: Series,
}

impl Way {
    fn to(port: u16) -> Self {
        Self { port, ..Self::default() }
    }

    fn measure(&mut self) -> Result<()> {
        self.requests.add(requests(self.port, &[])?);
        self.connections.add(requests(self.port, &["-H", "Connection: close"])?);
        self.bytes.add(bytes(self.port)?);
        Ok(())
    }
}

/// Measures all.
pub(super) fn rows(tree: &Tree, host: &Host, rounds: usize) -> Result<[Row; 3]> {
    let image = step("Making an image with nginx in it", || image(tree, host))?;
    let start = |options: &[&str]| host.said(&[&["run", "--detach"], options, &[&image]].concat());
    let containers = [start(&["--publish", "127.0.0.1::80"])?, start(&["--network", "host"])?];
    let mut ours = Way::to(published(host, &containers[0])?);
    let mut plain = Way::to(forward(host, 80)?);
    let mut bridged = Way::to(forward(host, PASSED_ON)?);
    pass_on(host, &image, &containers[0])?;
    for way in [&ours, &plain, &bridged] {
        wait::until("nginx answers", DEADLINE, || get(way.port, "/page").ok())?;
    }
    step("Asking nginx", || {
        for _ in 0..rounds {
            for way in [&mut ours, &mut plain, &mut bridged] {
                way.measure()?;
            }
        }
        Ok(())
    })?;
    let remove = ["rm", "--force"].into_iter().chain(containers.iter().map(String::as_str));
    process::output(&mut host.docker(&remove.collect::<Vec<_>>()))?;

    let note = |ours: &Series, plain: &Series, unit: Unit| {
        let ratio = ours.median() / plain.median();
        let there = plain.shown(unit);
        vec![
            "the reference is hostfwd to the same container".to_owned(),
            format!("hostfwd to its image with --network host: {there}, so ours is {ratio:.2} x"),
        ]
    };
    Ok([
        Row {
            id: "port-requests",
            what: format!("GET of {PAGE_BYTES} bytes, published, 8 connections"),
            unit: Unit::Rate,
            notes: note(&ours.requests, &plain.requests, Unit::Rate),
            ours: ours.requests,
            bar: Bar::AtLeast { reference: bridged.requests, least: LEAST },
        },
        Row {
            id: "port-connections",
            what: "the same, a connection for each".to_owned(),
            unit: Unit::Rate,
            notes: note(&ours.connections, &plain.connections, Unit::Rate),
            ours: ours.connections,
            bar: Bar::AtLeast { reference: bridged.connections, least: LEAST },
        },
        Row {
            id: "port-bytes",
            what: format!("GET of {} MiB, published", FILE_BYTES >> 20),
            unit: Unit::ByteRate,
            notes: note(&ours.bytes, &plain.bytes, Unit::ByteRate),
            ours: ours.bytes,
            bar: Bar::AtLeast { reference: bridged.bytes, least: LEAST },
        },
    ])
}

fn image(tree: &Tree, host: &Host) -> Result<String> {
    let work = tempfile::Builder::new().prefix("cb-nginx-").tempdir()?;
    let root = work.path().join("root");
    for folder in ["dev", "etc", "proc", "run", "sys", "tmp", "var/log/nginx", "var/lib/nginx", "www"] {
        std::fs::create_dir_all(root.join(folder))?;
    }
    let nginx = tools::nginx(tree)?;
    place(&nginx, &root, Path::new("/usr/sbin/nginx"))?;
    for file in libraries(&nginx)?.into_iter().chain(with_libraries(&["nft"])?) {
        place(&file, &root, &file)?;
    }
    std::fs::write(root.join("etc/nginx.conf"), CONFIG)?;
    std::fs::write(root.join("etc/passwd"), "root:x:0:0::/root:/bin/sh\n")?;
    std::fs::write(root.join("etc/group"), "root:x:0:\n")?;
    std::fs::write(root.join("www/page"), vec![b'x'; PAGE_BYTES])?;
    std::fs::write(root.join("www/file"), vec![0; FILE_BYTES])?;
    let command = ["/usr/sbin/nginx", "-c", "/etc/nginx.conf", "-g", "daemon off;"];
    write_image(&root, &json!({ "Env": ["PATH=/usr/sbin:/usr/bin"], "Cmd": command }), work.path())?;
    let registry = Registry::start()?;
    let image = registry.push(&work.path().join("layout"), "bench/nginx:1")?;
    process::output(&mut host.docker(&["pull", "--quiet", &image]))?;
    Ok(image)
}

fn published(host: &Host, container: &str) -> Result<u16> {
    let shown = host.said(&["port", container, "80"])?;
    let port = shown.lines().next().and_then(|line| line.rsplit_once(':')?.1.parse().ok());
    port.with_context(|| format!("docker port: {shown}"))
}

/// Lets QEMU listen for a port of the guest.
fn forward(host: &Host, guest: u16) -> Result<u16> {
    let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
    let line = format!("hostfwd_add tcp:127.0.0.1:{port}-:{guest}");
    let said =
        monitor::connect(host.home())?.run("human-monitor-command", json!({ "command-line": line }))?;
    match said.as_str() {
        Some("") => Ok(port),
        _ => bail!("{line}: {said}"),
    }
}

/// Passes what comes for [`PASSED_ON`] on to a container, past the rules between networks.
fn pass_on(host: &Host, image: &str, container: &str) -> Result<()> {
    let template = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}";
    let address = host.said(&["inspect", "--format", template, container])?;
    let rules = format!(
        "add table ip bench; add chain ip bench to {{ type nat hook prerouting priority -100; }}; \
         add rule ip bench to iifname eth0 tcp dport {PASSED_ON} dnat to {address}:80; \
         insert rule inet coracle forward iifname eth0 ip daddr {address} accept"
    );
    host.said(&["run", "--rm", "--privileged", "--network", "host", image, "nft", &rules]).map(drop)
}

/// Requests each second, on connections that are kept but for what `options` say.
fn requests(port: u16, options: &[&str]) -> Result<f64> {
    let page = format!("http://127.0.0.1:{port}/page");
    let said = process::text(
        Command::new("wrk").args(["-c", "8", "-t", "1", "-d", SECONDS]).args(options).arg(&page),
    )?;
    let rate = said.lines().find_map(|line| line.strip_prefix("Requests/sec:")?.trim().parse().ok());
    rate.filter(|rate| *rate > 0.0 && !said.contains("Non-2xx")).with_context(|| format!("wrk: {said}"))
}

/// Bytes each second of one file.
fn bytes(port: u16) -> Result<f64> {
    let since = Instant::now();
    let received = get(port, "/file")?;
    if received < FILE_BYTES {
        bail!("{received} bytes of the file came");
    }
    Ok(received as f64 / since.elapsed().as_secs_f64())
}

/// The length of a whole answer, its head included.
fn get(port: u16, path: &str) -> Result<usize> {
    let mut server = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    server.set_read_timeout(Some(DEADLINE))?;
    server.write_all(format!("GET {path} HTTP/1.0\r\n\r\n").as_bytes())?;
    let (mut buffer, mut received) = (vec![0; 1 << 18], 0);
    loop {
        match server.read(&mut buffer)? {
            0 if received == 0 => bail!("no answer on port {port}"),
            0 => return Ok(received),
            read => received += read,
        }
    }
}
