//! Listeners and connections, with a server of this process in the guest's place.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use agent_proto::{MAX_DATAGRAM_BYTES, read_datagram, relay, write_datagram};
use async_trait::async_trait;
use bollard_stubs::models::PortBinding;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UdpSocket};
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use transport::Stream;
use types::ContainerId;

use super::binding::{Port, Protocol};
use super::{DialError, Place, Ports, PublishOn, Way};
use crate::record::Record;
use crate::record::tests::record;

/// A container that answers with what it was asked, once it was asked all; on port 81 nobody listens.
struct Echo;

#[async_trait]
impl Way for Echo {
    fn place(&self, _: &Record) -> Place {
        Place { address: Some([172, 17, 0, 2].into()), ..Place::default() }
    }

    async fn dial(&self, _: &ContainerId, port: Port) -> Result<Stream, DialError> {
        if port.number == 81 {
            return Err(DialError::NoAddress);
        }
        let (ours, mut guest) = tokio::io::duplex(1 << 16);
        tokio::spawn(async move {
            if port.protocol == Protocol::Udp {
                let mut buffer = Box::new([0; MAX_DATAGRAM_BYTES]);
                while let Ok(length) = read_datagram(&mut guest, &mut buffer).await {
                    write_datagram(&mut guest, &buffer[..length]).await.unwrap();
                }
                return;
            }
            let (mut server, mut port) = tokio::io::duplex(1 << 16);
            tokio::join!(async { drop(relay(&mut port, &mut guest).await) }, async {
                let mut asked = Vec::new();
                server.read_to_end(&mut asked).await.unwrap();
                let _ = server.write_all(&asked).await;
                let _ = server.shutdown().await;
            });
        });
        Ok(ours.into())
    }
}

fn ports() -> Ports {
    let (cancel, tracker) = (CancellationToken::new(), TaskTracker::new());
    Ports::new(PublishOn::Localhost, Arc::new(Echo), Handle::current(), cancel, tracker)
}

fn publishing(list: &[(&str, &str)]) -> Record {
    let mut record = record();
    let binding = |port: &str| PortBinding { host_ip: None, host_port: Some(port.to_owned()) };
    let bindings = list.iter().map(|(key, port)| ((*key).to_owned(), Some(vec![binding(port)])));
    record.host_config.port_bindings = Some(bindings.collect());
    record
}

fn v4(published: &[super::Published]) -> SocketAddr {
    let found = published.iter().find(|published| published.host_ip.is_ipv4()).unwrap();
    SocketAddr::new(found.host_ip, found.host_port)
}

#[tokio::test]
async fn clients_reach_the_container_until_it_is_closed() {
    let (ports, record) = (ports(), publishing(&[("80/tcp", "0")]));
    let published = ports.open(&record).await.unwrap();
    assert!(published.iter().all(|at| at.host_ip.is_loopback() && at.host_port == published[0].host_port));
    for at in &published {
        let mut client = TcpStream::connect((at.host_ip, at.host_port)).await.unwrap();
        client.write_all(b"question").await.unwrap();
        client.shutdown().await.unwrap();
        let mut answer = String::new();
        client.read_to_string(&mut answer).await.unwrap();
        assert_eq!(answer, "question");
    }
    ports.close(&record.id).await;
    TcpStream::connect(v4(&published)).await.unwrap_err();

    let again = Record { ports: published.clone(), ..record };
    ports.reopen(&again).await;
    TcpStream::connect(v4(&published)).await.unwrap();
}

#[tokio::test]
async fn where_nobody_listens_the_client_is_reset() {
    let (ports, record) = (ports(), publishing(&[("81/tcp", "")]));
    let published = ports.open(&record).await.unwrap();
    let mut client = TcpStream::connect(v4(&published)).await.unwrap();
    let read = client.read_u8().await.unwrap_err();
    assert_eq!(read.kind(), std::io::ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn one_who_does_not_read_holds_up_nobody_else() {
    let (ports, record) = (ports(), publishing(&[("80/tcp", "")]));
    let published = ports.open(&record).await.unwrap();
    let mut silent = TcpStream::connect(v4(&published)).await.unwrap();
    silent.write_all(&vec![1; 40 << 20]).await.unwrap();
    silent.shutdown().await.unwrap();
    for _ in 0..100 {
        let mut client = TcpStream::connect(v4(&published)).await.unwrap();
        client.write_all(b"x").await.unwrap();
        client.shutdown().await.unwrap();
        let mut answer = String::new();
        tokio::time::timeout(Duration::from_secs(10), client.read_to_string(&mut answer))
            .await
            .unwrap()
            .unwrap();
        assert_eq!(answer, "x");
    }
}

#[tokio::test]
async fn datagrams_find_back_to_their_client() {
    let (ports, record) = (ports(), publishing(&[("53/udp", "0")]));
    let published = ports.open(&record).await.unwrap();
    let mut buffer = [0; 100];
    for number in 0..20_u8 {
        let client = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        for _ in 0..2 {
            client.send_to(&[number; 7], v4(&published)).await.unwrap();
            let received = tokio::time::timeout(Duration::from_secs(10), client.recv(&mut buffer)).await;
            assert_eq!(&buffer[..received.unwrap().unwrap()], [number; 7]);
        }
    }
}

#[tokio::test]
async fn a_busy_port_is_dockers_error_and_leaves_nothing_bound() {
    let ports = ports();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let busy = taken.local_addr().unwrap().port();
    let mut record = publishing(&[("80/tcp", &busy.to_string()), ("90/udp", "0")]);
    record.name = "web".into();
    let error = ports.open(&record).await.unwrap_err();
    assert_eq!(error.kind(), crate::ErrorKind::System);
    let expected = format!(
        "driver failed programming external connectivity on endpoint web ({}): failed to bind host port for \
         127.0.0.1:{busy}:172.17.0.2:80/tcp: address already in use",
        record.id
    );
    assert!(error.to_string().ends_with(&expected), "{error}");

    let first = publishing(&[("80/tcp", "0")]);
    let number = ports.open(&first).await.unwrap()[0].host_port;
    let second = publishing(&[("80/tcp", &number.to_string())]);
    let error = ports.open(&second).await.unwrap_err().to_string();
    assert!(
        error.ends_with(&format!("Bind for 127.0.0.1:{number} failed: port is already allocated")),
        "{error}"
    );

    // A range takes the next one.
    let range = publishing(&[("80/tcp", &format!("{number}-{}", number.saturating_add(20)))]);
    assert!(ports.open(&range).await.unwrap()[0].host_port > number);
}

#[tokio::test]
async fn networks_without_ports() {
    let ports = ports();
    let mut record = publishing(&[("80/tcp", "0")]);
    for mode in ["host", "none", "container:x"] {
        record.host_config.network_mode = Some(mode.to_owned());
        assert!(ports.open(&record).await.unwrap().is_empty(), "{mode}");
    }
}
