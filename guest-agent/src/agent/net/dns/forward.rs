//! Questions that are not ours go to QEMU's DNS address, behind which is the host's resolver, whatever that is at
//! the moment. Answers pass as they are, refusals too.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;

use crate::interface::DNS;

const UPSTREAM: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 2, 3));
/// How long one attempt may take; a client gives up after five seconds.
const ATTEMPT: Duration = Duration::from_millis(2200);
const ATTEMPTS: u32 = 2;
/// The longest answer.
const LONGEST: usize = 65_535;

/// Set in the third byte of an answer that was cut.
const TRUNCATED: u8 = 0x02;
/// Set in the third byte of an answer.
const RESPONSE: u8 = 0x80;

fn answers(query: &[u8], reply: &[u8]) -> bool {
    reply.len() >= 12 && reply[..2] == query[..2] && reply[2] & RESPONSE != 0
}

async fn by_udp(query: &[u8], upstream: SocketAddr) -> io::Result<Vec<u8>> {
    let any: IpAddr =
        if upstream.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind((any, 0)).await?;
    socket.connect(upstream).await?;
    let mut buffer = vec![0; LONGEST];
    for _ in 0..ATTEMPTS {
        socket.send(query).await?;
        let answer = async {
            loop {
                let length = socket.recv(&mut buffer).await?;
                if answers(query, &buffer[..length]) {
                    return Ok::<_, io::Error>(length);
                }
            }
        };
        if let Ok(length) = timeout(ATTEMPT, answer).await {
            buffer.truncate(length?);
            return Ok(buffer);
        }
    }
    Err(io::ErrorKind::TimedOut.into())
}

async fn by_tcp(query: &[u8], upstream: SocketAddr) -> io::Result<Vec<u8>> {
    let exchange = async {
        let mut stream = TcpStream::connect(upstream).await?;
        write_message(&mut stream, query).await?;
        read_message(&mut stream).await
    };
    let reply = timeout(ATTEMPT, exchange).await.map_err(|_| io::ErrorKind::TimedOut)??;
    if answers(query, &reply) { Ok(reply) } else { Err(io::ErrorKind::InvalidData.into()) }
}

/// Asks one of `servers` after the other, or the host's resolver. `limit` is what the asker takes.
pub(super) async fn ask(query: &[u8], limit: usize, servers: &[IpAddr]) -> io::Result<Vec<u8>> {
    let mut asked = Err(io::ErrorKind::NotFound.into());
    for &server in if servers.is_empty() { &[UPSTREAM][..] } else { servers } {
        asked = ask_at(query, limit, (server, DNS).into()).await;
        if asked.is_ok() {
            break;
        }
    }
    asked
}

async fn ask_at(query: &[u8], limit: usize, upstream: SocketAddr) -> io::Result<Vec<u8>> {
    if query.len() < 12 {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let reply = by_udp(query, upstream).await?;
    if reply[2] & TRUNCATED == 0 {
        return Ok(reply);
    }
    match by_tcp(query, upstream).await {
        Ok(whole) if whole.len() <= limit => Ok(whole),
        // Cut as it is: the asker comes again by TCP.
        _ => Ok(reply),
    }
}

/// One message of DNS over TCP.
pub(super) async fn read_message(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let length = stream.read_u16().await?;
    let mut message = vec![0; length.into()];
    stream.read_exact(&mut message).await?;
    Ok(message)
}

/// Writes one message of DNS over TCP.
pub(super) async fn write_message(stream: &mut TcpStream, message: &[u8]) -> io::Result<()> {
    let length = u16::try_from(message.len()).map_err(|_| io::ErrorKind::InvalidData)?;
    let framed = [&length.to_be_bytes(), message].concat();
    stream.write_all(&framed).await
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    const QUERY: [u8; 12] = [7, 9, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0];

    fn reply(truncated: bool, length: usize) -> Vec<u8> {
        let mut reply = QUERY.to_vec();
        reply[2] = RESPONSE | if truncated { TRUNCATED } else { 0 };
        reply.resize(length, 0);
        reply
    }

    /// An upstream that cuts what it says by UDP.
    async fn upstream(whole: usize) -> SocketAddr {
        let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = tcp.local_addr().unwrap();
        let udp = UdpSocket::bind(address).await.unwrap();
        tokio::spawn(async move {
            let mut buffer = [0; 512];
            let (_, from) = udp.recv_from(&mut buffer).await.unwrap();
            // Someone else's answer is passed over.
            udp.send_to(&[0; 12], from).await.unwrap();
            udp.send_to(&reply(true, 12), from).await.unwrap();
            let (mut stream, _) = tcp.accept().await.unwrap();
            read_message(&mut stream).await.unwrap();
            write_message(&mut stream, &reply(false, whole)).await.unwrap();
        });
        address
    }

    #[tokio::test]
    async fn a_cut_answer_is_fetched_by_tcp() {
        let address = upstream(2000).await;
        assert_eq!(ask_at(&QUERY, LONGEST, address).await.unwrap().len(), 2000);
    }

    #[tokio::test]
    async fn an_answer_that_does_not_fit_stays_cut() {
        let address = upstream(2000).await;
        assert_eq!(ask_at(&QUERY, 512, address).await.unwrap(), reply(true, 12));
    }
}
