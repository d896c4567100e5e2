//! Published ports: the docker client's `-p` in its forms, and what clients of a port meet.

use std::time::Duration;

use coracle_e2e::{Host, Image, Layer, Registry, Run, eventually};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UdpSocket};

/// TCP port 7 answers how many bytes it was sent until the end; port 8 sends without end; port 9 ends each connection by itself; UDP port 53 echoes.
const SERVER: &str = r#"
$SIG{CHLD} = 'IGNORE';
sub at { pack('S n a4 x8', 2, shift, "\0\0\0\0") }
socket(U, 2, 2, 17); bind(U, at(53)) or die;
if (!fork) { while (my $from = recv(U, my $text, 65535, 0)) { send(U, $text, 0, $from) } exit }
socket(E, 2, 1, 6); setsockopt(E, 1, 2, 1); bind(E, at(8)) or die; listen(E, 64);
if (!fork) { while (accept(C, E)) { if (!fork) { 1 while print C 'x' x 65536; exit } close C } exit }
socket(B, 2, 1, 6); setsockopt(B, 1, 2, 1); bind(B, at(9)) or die; listen(B, 64);
if (!fork) { while (accept(C, B)) { syswrite(C, '.'); close C } exit }
socket(T, 2, 1, 6); setsockopt(T, 1, 2, 1); bind(T, at(7)) or die; listen(T, 4096);
$| = 1; print "listening\n";
while (accept(C, T)) {
    if (!fork) { my $n = 0; while (my $r = sysread(C, my $b, 65536)) { $n += $r } syswrite(C, $n); exit }
    close C;
}
"#;
const DEADLINE: Duration = Duration::from_secs(20);

/// An image with this machine's perl and nothing else.
async fn image(host: &Host, registry: &Registry) -> String {
    let libraries = Run::new("ldd").args(["/usr/bin/perl"]).ok().await;
    let mut paths: Vec<&str> = libraries.split_whitespace().filter(|word| word.starts_with('/')).collect();
    paths.push("/usr/bin/perl");
    let files: Vec<_> = paths.iter().map(|path| (&path[1..], std::fs::read(path).unwrap())).collect();
    let layer = Layer::files(files.iter().map(|(path, bytes)| (*path, bytes.as_slice(), 0o755)));
    let config = json!({
        "Cmd": ["/usr/bin/perl", "-e", SERVER],
        "ExposedPorts": { "7/tcp": {}, "53/udp": {} },
    });
    let reference = Image::new(vec![layer], config).push(registry, "server:1").await;
    host.docker(&format!("pull -q {reference}")).ok().await;
    reference
}

async fn listens(host: &Host, name: &str) {
    eventually("the server listens", DEADLINE, || async move {
        host.docker(&format!("logs {name}")).ok().await.contains("listening").then_some(())
    })
    .await;
}

/// Asks how many bytes these are: the answer comes after the client's own end.
async fn count(address: &str, bytes: usize) -> std::io::Result<String> {
    let work = async {
        let mut client = TcpStream::connect(address).await?;
        client.write_all(&vec![b'x'; bytes]).await?;
        client.shutdown().await?;
        let mut answer = String::new();
        client.read_to_string(&mut answer).await?;
        Ok(answer)
    };
    tokio::time::timeout(DEADLINE, work).await.expect("an answer in time")
}

/// As [`count`], for a container that has just been given the address of one that ended: until the guest has taken
/// that one's interface down, both answer for it.
async fn count_soon(address: &str, bytes: usize) -> String {
    eventually("the container answers", DEADLINE, || async { count(address, bytes).await.ok() }).await
}

/// The address that `docker port` names for a port, on IPv4.
async fn port(host: &Host, name: &str, port: &str) -> String {
    let lines = host.docker(&format!("port {name} {port}")).ok().await;
    lines.lines().find(|line| !line.starts_with('[')).unwrap().to_owned()
}

#[tokio::test]
async fn ports_are_published_in_all_forms() {
    let mut host = Host::start().await;
    let registry = Registry::start().await;
    let image = image(&host, &registry).await;
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();

    let run = format!("run -d --name all -p {free}:7 -p 127.0.0.2::7 -p 0:8 -p 0:9 -p 53/udp {image}");
    host.docker(&run).ok().await;
    listens(&host, "all").await;
    let shown = host.docker("port all").ok().await;
    assert!(shown.contains(&format!("7/tcp -> 127.0.0.1:{free}")), "{shown}");
    assert!(shown.contains("7/tcp -> 127.0.0.2:") && shown.contains("53/udp -> 127.0.0.1:"), "{shown}");
    assert!(host.docker("ps").ok().await.contains(&format!("127.0.0.1:{free}->7/tcp")));
    let fixed = format!("127.0.0.1:{free}");
    for bytes in [0, 5, 3_000_000] {
        assert_eq!(count(&fixed, bytes).await.unwrap(), bytes.to_string());
    }
    if shown.contains("[::1]") {
        assert_eq!(count(&format!("[::1]:{free}"), 9).await.unwrap(), "9");
    }
    let other = shown.lines().find_map(|line| line.strip_prefix("7/tcp -> 127.0.0.2:")).unwrap();
    assert_eq!(count(&format!("127.0.0.2:{other}"), 7).await.unwrap(), "7");

    let udp = port(&host, "all", "53/udp").await;
    let client = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    client.connect(&udp).await.unwrap();
    for length in [1, 1_400, 20_000] {
        client.send(&vec![7; length]).await.unwrap();
        let mut buffer = vec![0; 65_535];
        let received = tokio::time::timeout(DEADLINE, client.recv(&mut buffer)).await.unwrap().unwrap();
        assert_eq!(received, length);
    }

    // Those who never read, and others meanwhile.
    let endless = port(&host, "all", "8/tcp").await;
    let mut silent = Vec::new();
    for _ in 0..3 {
        silent.push(TcpStream::connect(&endless).await.unwrap());
    }
    assert_eq!(count(&fixed, 100_000).await.unwrap(), "100000");

    // All at once.
    let mut clients = Vec::new();
    for _ in 0..1_000 {
        clients.push(TcpStream::connect(&fixed).await.unwrap());
    }
    for client in &mut clients {
        client.write_all(b"0123456789").await.unwrap();
        client.shutdown().await.unwrap();
    }
    for client in &mut clients {
        let mut answer = String::new();
        tokio::time::timeout(DEADLINE, client.read_to_string(&mut answer)).await.unwrap().unwrap();
        assert_eq!(answer, "10");
    }
    drop((clients, silent));

    // So many that ports between coracled and the container come around, while the guest still has the last ones in mind.
    let brief = port(&host, "all", "9/tcp").await;
    let ask = || async {
        let mut answer = String::new();
        TcpStream::connect(&brief).await?.read_to_string(&mut answer).await?;
        std::io::Result::Ok(answer)
    };
    for _ in 0..600 {
        let answers = futures::future::try_join_all((0..8).map(|_| ask())).await.unwrap();
        assert!(answers.iter().all(|answer| answer == "."), "{answers:?}");
    }
    let more = async {
        for _ in 0..100 {
            assert_eq!(ask().await.unwrap(), ".");
        }
    };
    tokio::time::timeout(DEADLINE, more).await.expect("a new connection does not wait for an old one's end");

    // A coracled that dies takes no port with it for good.
    host.kill_daemon().await;
    TcpStream::connect(&fixed).await.unwrap_err();
    host.start_daemon().await;
    eventually("the same ports lead to the container again", DEADLINE, || async {
        count(&fixed, 4).await.is_ok_and(|answer| answer == "4").then_some(())
    })
    .await;
    let sorted = |text: &str| {
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    };
    assert_eq!(sorted(&host.docker("port all").ok().await), sorted(&shown));

    // The port is taken: by this container, then by someone else.
    let second = host.docker(&format!("run -d --name second -p {free}:7 {image}")).finish().await;
    assert_eq!(second.code, 125, "{second:?}");
    assert!(second.stderr.contains("driver failed programming external connectivity on endpoint second ("));
    assert!(second.stderr.contains(&format!("Bind for 127.0.0.1:{free} failed: port is already allocated")));
    assert_eq!(host.docker("inspect -f {{.State.Status}} second").ok().await, "created");
    host.docker("stop -t 0 all").ok().await;
    TcpStream::connect(&fixed).await.unwrap_err();
    assert_eq!(host.docker("port all").ok().await, "");
    let taken = TcpListener::bind(&fixed).await.unwrap();
    let busy = host.docker("start second").finish().await;
    assert!(busy.stderr.contains(&format!("failed to bind host port for {fixed}:")), "{busy:?}");
    assert!(busy.stderr.contains(":7/tcp: address already in use"), "{busy:?}");
    drop(taken);
    host.docker("start second").ok().await;
    listens(&host, "second").await;
    assert_eq!(count_soon(&fixed, 6).await, "6");
    host.docker("rm -f second all").ok().await;

    // A range takes what is free in it, -P what is exposed.
    let end = free.saturating_add(20);
    let taken = TcpListener::bind(&fixed).await.unwrap();
    host.docker(&format!("run -d --name range -P -p {free}-{end}:8 {image}")).ok().await;
    listens(&host, "range").await;
    assert_ne!(port(&host, "range", "8/tcp").await, fixed);
    assert_eq!(count_soon(&port(&host, "range", "7/tcp").await, 3).await, "3");
    assert!(!port(&host, "range", "53/udp").await.is_empty());
    drop(taken);

    let refused = host.docker(&format!("run --rm -p 1:80/sctp {image}")).finish().await;
    assert!(refused.code == 125 && refused.stderr.contains("sctp"), "{refused:?}");
    let discarded = host.docker(&format!("create --network host -p {free}:7 {image}")).finish().await;
    assert!(discarded.stderr.contains("Published ports are discarded when using host network mode"));
    host.docker("rm -f range").ok().await;
    host.finish().await;
}
