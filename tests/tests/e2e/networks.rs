//! Networks of containers, by the real docker client against a real VM.

use std::time::Duration;

use coracle_e2e::{Host, Image, Layer, Registry, Run, eventually};
use tokio::net::UdpSocket;

const HELLO: &str = "coracle/hello";
const SERVE: &str = "mkdir /w; echo I am $0 >/w/index.html; exec httpd -f -p 80 -h /w";

fn exec(host: &Host, container: &str, script: &str) -> Run {
    host.docker_args(["exec", container, "sh", "-c", script])
}

async fn serve(host: &Host, name: &str, options: &str) {
    let mut arguments = vec!["run", "-d", "--name", name];
    arguments.extend(options.split_whitespace());
    arguments.extend([HELLO, "sh", "-c", SERVE, name]);
    host.docker_args(arguments).ok().await;
}

/// Whether `container` gets the page of whoever is at `place`, who may be just starting.
async fn reaches(host: &Host, container: &str, place: &str) -> bool {
    let get = format!("wget -T 2 -qO- http://{place}/ && exit");
    let script = format!("for i in 1 2 3 4 5 6 7 8; do {get}; sleep 0.3; done; exit 1");
    exec(host, container, &script).finish().await.code == 0
}

/// Whether `container` does not get to whoever is at `place`, who runs.
async fn cut_off(host: &Host, container: &str, place: &str) -> bool {
    exec(host, container, &format!("wget -T 2 -qO- http://{place}/")).finish().await.code != 0
}

async fn refused(run: Run, text: &str) {
    let finished = run.finish().await;
    assert!(finished.code != 0 && finished.stderr.contains(text), "{text}: {finished:?}");
}

#[tokio::test]
async fn names_addresses_and_connections() {
    let host = Host::start().await;
    host.docker("network create --subnet 10.77.0.0/24 --label a=b web").ok().await;
    serve(&host, "one", "--network web --network-alias uno --ip 10.77.0.50").await;
    serve(&host, "two", "--network web").await;

    // Names both ways, an alias, the short id, a name with its network.
    let short = host.docker("ps -q -f name=one").ok().await;
    for name in ["one", "uno", &short, "one.web", "10.77.0.50"] {
        assert!(reaches(&host, "two", name).await, "{name}");
    }
    assert_eq!(exec(&host, "one", "wget -qO- http://two/").ok().await, "I am two");
    assert!(exec(&host, "one", "cat /etc/hosts").ok().await.contains(&format!("10.77.0.50\t{short}")));
    assert!(exec(&host, "one", "cat /etc/resolv.conf").ok().await.contains("nameserver 127.0.0.11"));
    let outside = exec(&host, "one", "nslookup host.docker.internal").ok().await;
    assert!(outside.contains("10.0.2.2"), "{outside}");

    let format = "{{with .NetworkSettings.Networks.web}}{{.IPAddress}} {{.IPPrefixLen}} {{.Gateway}} \
                  {{.IPAMConfig.IPv4Address}} {{.DNSNames}} {{.Aliases}}{{end}}";
    let shown = host.docker_args(["inspect", "-f", format, "one"]).ok().await;
    assert_eq!(shown, format!("10.77.0.50 24 10.77.0.1 10.77.0.50 [one uno {short}] [uno]"));
    let on_it = host.docker_args(["network", "inspect", "-f", "{{len .Containers}} {{.Labels.a}}", "web"]);
    assert_eq!(on_it.ok().await, "2 b");
    assert_eq!(host.docker("ps -q -f network=web").ok().await.lines().count(), 2);
    refused(host.docker("network rm web"), "has active endpoints").await;
    refused(host.docker("network create web"), "network with name web already exists").await;
    refused(host.docker("network create --subnet 10.77.0.0/25 x1"), "Pool overlaps with other one").await;
    refused(
        host.docker("run --rm --network web --ip 10.77.0.50 coracle/hello true"),
        "Address already in use",
    )
    .await;
    refused(host.docker("network create -d macvlan x2"), "macvlan").await;
    refused(host.docker("network rm bridge"), "is a pre-defined network and cannot be removed").await;

    // Another network is another world, until a container is in both.
    host.docker("network create other").ok().await;
    serve(&host, "far", "--network other").await;
    assert!(cut_off(&host, "far", "10.77.0.50").await, "networks are isolated");
    assert!(cut_off(&host, "far", "one").await, "names too");
    host.docker("network connect --alias zwei other two").ok().await;
    assert!(reaches(&host, "far", "two").await && reaches(&host, "far", "zwei").await);
    refused(
        host.docker("network connect other two"),
        "endpoint with name two already exists in network other",
    )
    .await;
    host.docker("network disconnect other two").ok().await;
    assert!(cut_off(&host, "far", "two").await, "gone again");
    assert!(reaches(&host, "one", "two").await, "its first network is untouched");

    // From the default network, which has no names, into one that has.
    serve(&host, "old", "").await;
    assert!(cut_off(&host, "old", "one").await);
    host.docker("network connect web old").ok().await;
    assert!(reaches(&host, "old", "one").await);
    host.docker("rename one first").ok().await;
    assert!(reaches(&host, "old", "first").await);

    // A container that stops keeps its networks and gives its address back.
    host.docker("stop -t 0 two").ok().await;
    let stopped = host.docker_args(["inspect", "-f", "{{.NetworkSettings.Networks.web.IPAddress}}", "two"]);
    assert_eq!(stopped.ok().await, "");
    host.docker("start two").ok().await;
    assert!(reaches(&host, "first", "two").await);
    host.docker("rm -f first two far old").ok().await;
    let pruned = host.docker("network prune -f").ok().await;
    assert!(pruned.contains("web") && pruned.contains("other"), "{pruned}");
    let left = host.docker("network ls --format {{.Name}}").ok().await;
    assert_eq!(left, "bridge\nhost\nnone");
    host.finish().await;
}

#[tokio::test]
async fn modes_and_an_internal_network() {
    let mut host = Host::start().await;
    host.docker("network create --internal inner").ok().await;
    serve(&host, "in1", "--network inner").await;
    serve(&host, "in2", "--network inner").await;
    serve(&host, "def", "").await;
    assert!(reaches(&host, "in1", "in2").await, "it is a network");
    assert_eq!(exec(&host, "in1", "ip route | grep -c default").finish().await.stdout, "0\n");
    let address = "{{.NetworkSettings.IPAddress}}";
    let default = host.docker_args(["inspect", "-f", address, "def"]).ok().await;
    assert!(default.starts_with("172.17.0."), "{default}");
    assert!(cut_off(&host, "in1", &default).await);
    // Not even by a route of its own.
    let around = format!("wget -T 2 -qO- http://{default}/ || nc -w 2 10.0.2.3 53 </dev/null");
    let with_route = format!("ip route add default via 172.18.0.1; {around}");
    let out = host.docker_args([
        "run",
        "--rm",
        "--network",
        "inner",
        "--cap-add",
        "NET_ADMIN",
        HELLO,
        "sh",
        "-c",
        &with_route,
    ]);
    assert_ne!(out.finish().await.code, 0, "an internal network has no way out");
    assert_eq!(
        exec(&host, "def", "nc -w 2 10.0.2.3 53 </dev/null").finish().await.code,
        0,
        "others have one"
    );

    let alone = host.docker("run --rm --network none coracle/hello ip -4 addr").ok().await;
    assert!(alone.contains("127.0.0.1") && !alone.contains("eth0"), "{alone}");
    let of_vm = host.docker("run --rm --network host coracle/hello ip -4 addr").ok().await;
    assert!(of_vm.contains("10.0.2.15") && of_vm.contains("docker0"), "{of_vm}");
    let script = "wget -qO- http://127.0.0.1/; hostname";
    let joined = host.docker_args(["run", "--rm", "--network", "container:def", HELLO, "sh", "-c", script]);
    let short = host.docker("ps -q -f name=def").ok().await;
    assert_eq!(joined.ok().await, format!("I am def\n{short}"));
    refused(
        host.docker("run --rm --network container:def --hostname x coracle/hello true"),
        "conflicting options: hostname and the network mode",
    )
    .await;
    let added = host.docker("run --rm --add-host up:host-gateway --mac-address 02:00:00:00:00:09 coracle/hello cat /etc/hosts /sys/class/net/eth0/address").ok().await;
    assert!(added.contains("10.0.2.2\tup") && added.contains("02:00:00:00:00:09"), "{added}");
    let six = host.docker("network create --ipv6 six").ok().await;
    assert_eq!(six.len(), 64);
    let addresses = host.docker("run --rm --network six coracle/hello ip -6 addr show eth0").ok().await;
    assert!(addresses.contains("inet6 fd") && addresses.contains("::2/64"), "{addresses}");

    // A coracled that is killed forgets nothing, and touches no container.
    let format = "{{.Id}} {{json .Containers}}";
    let before = host.docker_args(["network", "inspect", "-f", format, "inner"]).ok().await;
    host.kill_daemon().await;
    host.start_daemon().await;
    assert_eq!(host.docker_args(["network", "inspect", "-f", format, "inner"]).ok().await, before);
    assert!(reaches(&host, "in1", "in2").await);
    host.docker("rm -f in1 in2 def").ok().await;
    host.finish().await;
}

#[tokio::test]
async fn fixed_ipv6_links_and_options_of_bridges() {
    let host = Host::start().await;
    host.docker("network create --ipv6 --subnet fd00:77::/64 --gateway fd00:77::7 six").ok().await;
    serve(&host, "one", "--network six --ip6 fd00:77::50").await;
    let addresses = exec(&host, "one", "ip -6 addr show eth0; ip -6 route").ok().await;
    assert!(addresses.contains("fd00:77::50/64") && addresses.contains("via fd00:77::7"), "{addresses}");
    let format = "{{with .NetworkSettings.Networks.six}}{{.GlobalIPv6Address}} {{.IPv6Gateway}}{{end}}";
    let shown = host.docker_args(["inspect", "-f", format, "one"]).ok().await;
    assert_eq!(shown, "fd00:77::50 fd00:77::7");
    host.docker("run -d --name two --network six coracle/hello sleep 1000").ok().await;
    assert!(exec(&host, "two", "ping -6 -c 1 -W 5 fd00:77::50").finish().await.code == 0);
    assert!(exec(&host, "two", "nslookup -type=aaaa one").ok().await.contains("fd00:77::50"));
    refused(host.docker("run --rm --network six --ip6 fd00:77::50 coracle/hello true"), "in use").await;
    refused(host.docker("run --rm --network six --ip6 fd00:78::1 coracle/hello true"), "").await;

    // On the default network, which has no names, a link is one.
    serve(&host, "linked", "").await;
    host.docker("run -d --name links --link linked:uno coracle/hello sleep 1000").ok().await;
    assert!(reaches(&host, "links", "uno").await && reaches(&host, "links", "linked").await);
    let links = host.docker_args(["inspect", "-f", "{{.HostConfig.Links}}", "links"]).ok().await;
    assert_eq!(links, "[/linked:/links/uno]");
    refused(host.docker("run --rm --link nobody:x coracle/hello true"), "nobody").await;

    let options = "-o com.docker.network.bridge.name=br-odd -o com.docker.network.driver.mtu=1400 \
                   -o com.docker.network.bridge.enable_icc=false \
                   -o com.docker.network.bridge.enable_ip_masquerade=false";
    host.docker(&format!("network create {options} odd")).ok().await;
    serve(&host, "odd1", "--network odd").await;
    serve(&host, "odd2", "--network odd").await;
    assert_eq!(exec(&host, "odd1", "cat /sys/class/net/eth0/mtu").ok().await, "1400");
    assert!(cut_off(&host, "odd1", "odd2").await, "containers of it do not reach each other");
    let links = host.docker("run --rm --network host coracle/hello ip addr show br-odd").ok().await;
    assert!(links.contains("mtu 1400"), "{links}");
    let shown = host.docker_args(["network", "inspect", "-f", "{{json .Options}}", "odd"]).ok().await;
    assert!(shown.contains(r#""com.docker.network.bridge.enable_icc":"false""#), "{shown}");
    host.docker("rm -f one two linked links odd1 odd2").ok().await;
    host.finish().await;
}

/// Echoes datagrams.
const ECHO: &str = r#"
socket(U, 2, 2, 17); bind(U, pack('S n a4 x8', 2, 53, "\0\0\0\0")) or die;
$| = 1; print "listening\n";
while (my $from = recv(U, my $text, 65535, 0)) { send(U, $text, 0, $from) }
"#;

/// Sends one's own word and gets it back, in three tries: datagrams may be lost.
async fn echoed(client: &UdpSocket, word: &str) -> bool {
    let mut buffer = [0; 64];
    for _ in 0..3 {
        client.send(word.as_bytes()).await.unwrap();
        let answer = tokio::time::timeout(Duration::from_secs(5), client.recv(&mut buffer)).await;
        if let Ok(Ok(length)) = answer {
            return &buffer[..length] == word.as_bytes();
        }
    }
    false
}

#[tokio::test]
async fn many_udp_clients_and_ports_after_a_restart_of_the_vm() {
    let host = Host::start().await;
    let registry = Registry::start().await;
    let config = serde_json::json!({ "Cmd": ["/usr/bin/perl", "-e", ECHO] });
    let image = Image::new(vec![Layer::program("/usr/bin/perl").await], config);
    let image = image.push(&registry, "echo:1").await;
    // One that nobody chose would be another after the restart, as with Docker.
    let port = coracle_e2e::free_port();
    let run = format!("run -d --name echo --restart always -p 127.0.0.1:{port}:53/udp {image}");
    host.docker(&run).ok().await;
    let host_ref = &host;
    let listens = async |lines: usize| {
        eventually("the server listens", Duration::from_secs(30), || async move {
            (host_ref.docker("logs echo").ok().await.lines().count() == lines).then_some(())
        })
        .await;
    };
    listens(1).await;
    let port = host.docker("port echo 53/udp").ok().await;
    let mut clients = Vec::new();
    for _ in 0..200 {
        let client = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        client.connect(&port).await.unwrap();
        clients.push(client);
    }
    // All of them twice, so that an answer could go to another.
    for round in 0..2 {
        let all = clients
            .iter()
            .enumerate()
            .map(|(n, client)| async move { echoed(client, &format!("client {n} round {round}")).await });
        let all = futures::future::join_all(all).await;
        assert_eq!(all.iter().filter(|&&echoed| !echoed).count(), 0, "round {round}");
    }

    // The VM begins anew, and with it the container: at the same port.
    host.coracle("vm restart").ok().await;
    listens(2).await;
    assert_eq!(host.docker("port echo 53/udp").ok().await, port);
    let client = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    client.connect(&port).await.unwrap();
    eventually("the port leads to it again", Duration::from_secs(30), || async {
        echoed(&client, "again").await.then_some(())
    })
    .await;
    host.docker("rm -f echo").ok().await;
    host.finish().await;
}
