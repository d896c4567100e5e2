//! The sockets: one task for each pair of them, which ends with its [`Server`] and takes along what it has begun.
//! Nothing of a container's may stay open here when it is gone: a socket keeps its namespace alive.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hickory_proto::op::Message;
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::timeout;

use super::answer::{self, Answer};
use super::forward;
use super::names::{Asker, Names};
use crate::interface::Resolver;

/// Questions of one asker that are asked on at a time, and connections of it.
const AT_A_TIME: usize = 128;
/// How long a connection may be idle.
const IDLE: Duration = Duration::from_secs(10);
/// After a connection that could not be taken.
const BREATH: Duration = Duration::from_millis(20);
/// The longest question by UDP that we read.
const QUESTION: usize = 4096;
/// The longest answer by TCP.
const BY_TCP: usize = 65_535;

/// A pair of sockets that is served; no longer when dropped.
#[derive(Debug)]
pub(crate) struct Server(AbortHandle);

impl Drop for Server {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// What each question is answered from.
#[derive(Clone)]
struct Source {
    names: Arc<Mutex<Names>>,
    asker: Asker,
    turn: Arc<AtomicUsize>,
}

/// What is to be done for a question.
enum Work {
    Said(Vec<u8>),
    Ask(Box<Message>, Vec<IpAddr>),
    Nothing,
}

impl Source {
    fn decide(&self, question: &[u8], limit: impl Fn(&Message) -> usize) -> Work {
        let Ok(query) = Message::from_vec(question) else { return Work::Nothing };
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let (answer, servers) = {
            let names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
            (answer::answer(&query, &names, &self.asker, turn), names.servers_of(&self.asker))
        };
        match answer {
            Answer::Say(message) => said(&message, limit(&query)),
            Answer::Forward => Work::Ask(Box::new(query), servers),
            Answer::Ignore => Work::Nothing,
        }
    }
}

fn said(message: &Message, limit: usize) -> Work {
    let bytes = match message.to_vec() {
        Ok(bytes) if bytes.len() > limit => message.truncate().to_vec(),
        other => other,
    };
    bytes.map_or(Work::Nothing, Work::Said)
}

async fn asked_on(question: &[u8], query: &Message, limit: usize, servers: &[IpAddr]) -> Vec<u8> {
    match forward::ask(question, limit, servers).await {
        Ok(reply) => reply,
        Err(error) => {
            tracing::debug!(%error, "the host's resolver");
            answer::failure(query).to_vec().unwrap_or_default()
        }
    }
}

async fn converse(source: Source, mut stream: TcpStream) {
    while let Ok(Ok(question)) = timeout(IDLE, forward::read_message(&mut stream)).await {
        let reply = match source.decide(&question, |_| BY_TCP) {
            Work::Said(reply) => reply,
            Work::Ask(query, servers) => asked_on(&question, &query, BY_TCP, &servers).await,
            Work::Nothing => return,
        };
        if forward::write_message(&mut stream, &reply).await.is_err() {
            return;
        }
    }
}

async fn ask_for(
    socket: Arc<UdpSocket>,
    question: Vec<u8>,
    query: Box<Message>,
    servers: Vec<IpAddr>,
    from: SocketAddr,
) {
    let reply = asked_on(&question, &query, answer::udp_limit(&query), &servers).await;
    let _ = socket.send_to(&reply, from).await;
}

async fn run(source: Source, udp: UdpSocket, tcp: TcpListener) {
    let udp = Arc::new(udp);
    let mut begun = JoinSet::new();
    let mut buffer = vec![0; QUESTION];
    loop {
        tokio::select! {
            got = udp.recv_from(&mut buffer) => {
                // An error is told of an earlier answer that nobody took.
                let Ok((length, from)) = got else { continue };
                match source.decide(&buffer[..length], answer::udp_limit) {
                    Work::Said(reply) => drop(udp.send_to(&reply, from).await),
                    // Too many at a time: the client asks again.
                    Work::Ask(..) if begun.len() >= AT_A_TIME => {}
                    Work::Ask(query, servers) => {
                        let question = buffer[..length].to_vec();
                        begun.spawn(ask_for(Arc::clone(&udp), question, query, servers, from));
                    }
                    Work::Nothing => {}
                }
            }
            got = tcp.accept(), if begun.len() < AT_A_TIME => {
                match got {
                    Ok((stream, _)) => drop(begun.spawn(converse(source.clone(), stream))),
                    // Out of descriptors: not again at once.
                    Err(_) => tokio::time::sleep(BREATH).await,
                }
            }
            Some(_) = begun.join_next() => {}
        }
    }
}

/// Serves a resolver's sockets until the server is dropped.
pub(crate) fn start(names: &Arc<Mutex<Names>>, asker: Asker, resolver: Resolver) -> io::Result<Server> {
    let udp = UdpSocket::from_std(resolver.udp)?;
    let tcp = TcpListener::from_std(resolver.tcp)?;
    let source = Source { names: Arc::clone(names), asker, turn: Arc::default() };
    Ok(Server(tokio::spawn(run(source, udp, tcp)).abort_handle()))
}

#[cfg(test)]
mod tests {
    use agent_proto::v1::{Endpoint, Network};
    use hickory_proto::op::Query;
    use hickory_proto::rr::{Name, RecordType};

    use super::*;

    #[tokio::test]
    async fn both_sockets_answer_until_the_server_goes() {
        let mut names = Names::default();
        let network = Network { id: "n".to_owned(), dns: true, ..Network::default() };
        names.set(
            "c",
            &[Endpoint {
                network: Some(network),
                addresses: vec!["172.18.0.2/16".to_owned()],
                dns_names: vec!["me".to_owned()],
                ..Endpoint::default()
            }],
        );
        let udp = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let tcp = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        udp.set_nonblocking(true).unwrap();
        tcp.set_nonblocking(true).unwrap();
        let (at_udp, at_tcp) = (udp.local_addr().unwrap(), tcp.local_addr().unwrap());
        let names = Arc::new(Mutex::new(names));
        let server = start(&names, Asker::Container("c".to_owned()), Resolver { udp, tcp }).unwrap();

        let mut query = Message::query();
        query.add_query(Query::query(Name::from_ascii("me.").unwrap(), RecordType::A));
        let question = query.to_vec().unwrap();
        let client = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        client.send_to(&question, at_udp).await.unwrap();
        let mut buffer = [0; 512];
        let length = client.recv(&mut buffer).await.unwrap();
        let by_udp = Message::from_vec(&buffer[..length]).unwrap();
        assert_eq!(by_udp.answers.len(), 1);
        let mut stream = TcpStream::connect(at_tcp).await.unwrap();
        for _ in 0..2 {
            forward::write_message(&mut stream, &question).await.unwrap();
            assert_eq!(forward::read_message(&mut stream).await.unwrap().len(), length);
        }
        drop(server);
        assert!(forward::read_message(&mut stream).await.is_err());
    }
}
