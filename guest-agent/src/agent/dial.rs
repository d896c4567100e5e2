//! Connections to containers' ports, from the VM's own network namespace: what the host publishes ends here.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use agent_proto::v1::error_detail::Code;
use agent_proto::{MAX_DATAGRAM_BYTES, read_datagram, relay, v1, write_datagram};
use tokio::net::{TcpStream, UdpSocket};
use transport::Stream;

use crate::agent::failure::Failure;

/// How long a container's port may take to answer.
const DEADLINE: Duration = Duration::from_secs(10);

/// An open way to a container's port.
pub(crate) enum Port {
    Tcp(TcpStream),
    Udp(UdpSocket),
}

/// Connects; nobody listens there: [`Code::NotFound`].
pub(crate) async fn connect(dial: &v1::Dial) -> Result<Port, Failure> {
    let bad = |error: &dyn std::fmt::Display| Failure::new(Code::BadSpec, format_args!("dial: {error}"));
    let port = u16::try_from(dial.port).map_err(|error| bad(&error))?;
    let address: IpAddr = dial.address.parse().map_err(|error| bad(&error))?;
    let address = SocketAddr::new(address, port);
    let connecting = async { if dial.udp { udp(address).await } else { tcp(address).await } };
    let fail = |error: &dyn std::fmt::Display| {
        Failure::new(Code::NotFound, format_args!("connect to {address}: {error}"))
    };
    let connected = tokio::time::timeout(DEADLINE, connecting).await;
    connected.map_err(|late| fail(&late))?.map_err(|error| fail(&error))
}

async fn tcp(address: SocketAddr) -> std::io::Result<Port> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    Ok(Port::Tcp(stream))
}

async fn udp(address: SocketAddr) -> std::io::Result<Port> {
    let own: IpAddr =
        if address.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind((own, 0)).await?;
    socket.connect(address).await?;
    Ok(Port::Udp(socket))
}

/// Carries both directions until both have ended.
pub(crate) async fn forward(mut stream: Stream, port: Port) {
    match port {
        Port::Tcp(mut tcp) => {
            if let Err(error) = relay(&mut tcp, &mut stream).await {
                tracing::debug!(%error, "a published port's connection broke");
                // The container is told that it broke, not that it ended.
                let _ = tcp.set_zero_linger();
            }
        }
        Port::Udp(socket) => datagrams(stream, &socket).await,
    }
}

/// Until the host closes the stream, which knows when a client has fallen silent.
async fn datagrams(stream: Stream, socket: &UdpSocket) {
    let (mut from_host, mut to_host) = tokio::io::split(stream);
    let inward = async {
        let mut buffer = Box::new([0; MAX_DATAGRAM_BYTES]);
        while let Ok(length) = read_datagram(&mut from_host, &mut buffer).await {
            // Refused or too long for the way: lost, as datagrams are.
            let _ = socket.send(&buffer[..length]).await;
        }
    };
    let outward = async {
        let mut buffer = Box::new([0; MAX_DATAGRAM_BYTES]);
        loop {
            // An error is what an earlier datagram met: nobody listens yet, say.
            let Ok(length) = socket.recv(&mut buffer[..]).await else { continue };
            if write_datagram(&mut to_host, &buffer[..length]).await.is_err() {
                return;
            }
        }
    };
    tokio::select! {
        () = inward => {}
        () = outward => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    fn dial(address: SocketAddr, udp: bool) -> v1::Dial {
        v1::Dial { address: address.ip().to_string(), port: address.port().into(), udp, straight: false }
    }

    #[tokio::test]
    async fn a_connection_is_carried_and_a_refusal_is_told() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let port = connect(&dial(address, false)).await.unwrap();
        let (mut server, _) = listener.accept().await.unwrap();
        let (ours, its) = tokio::io::duplex(100);
        tokio::spawn(forward(its.into(), port));
        let mut ours = ours;
        ours.write_all(b"\0\0\0\x03ask\0\0\0\0").await.unwrap();
        let mut asked = String::new();
        server.read_to_string(&mut asked).await.unwrap();
        assert_eq!(asked, "ask");
        server.write_all(b"answer").await.unwrap();
        drop((server, listener));
        let mut answer = Vec::new();
        ours.read_to_end(&mut answer).await.unwrap();
        assert_eq!(answer, b"\0\0\0\x06answer\0\0\0\0");
        let refused = connect(&dial(address, false)).await.err().unwrap();
        assert_eq!(v1::ErrorDetail::from(refused).code(), Code::NotFound);
    }

    #[tokio::test]
    async fn datagrams_go_both_ways() {
        let server = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let port = connect(&dial(server.local_addr().unwrap(), true)).await.unwrap();
        let (mut ours, its) = tokio::io::duplex(100);
        let forwarding = tokio::spawn(forward(its.into(), port));
        write_datagram(&mut ours, b"ping").await.unwrap();
        let mut buffer = Box::new([0; MAX_DATAGRAM_BYTES]);
        let (length, from) = server.recv_from(&mut buffer[..]).await.unwrap();
        assert_eq!(&buffer[..length], b"ping");
        server.send_to(b"pong", from).await.unwrap();
        let length = read_datagram(&mut ours, &mut buffer).await.unwrap();
        assert_eq!(&buffer[..length], b"pong");
        drop(ours);
        forwarding.await.unwrap();
    }
}
