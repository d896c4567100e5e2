//! From a question and what is known to its answer. Pure.

use std::net::{IpAddr, Ipv4Addr};

use hickory_proto::op::{Message, MessageType, Metadata, OpCode, ResponseCode};
use hickory_proto::rr::rdata::{A, AAAA, PTR};
use hickory_proto::rr::{DNSClass, Name, RData, Record, RecordType};

use super::names::{Asker, Names};

/// Where QEMU's user network has the host.
const HOST: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 2);
const HOST_NAMES: [&str; 2] = ["host.docker.internal", "gateway.docker.internal"];
/// As Docker's resolver says, in seconds.
const TTL: u32 = 600;
/// What a client without EDNS takes by UDP.
const PLAIN_UDP: u16 = 512;

/// What to do with a question.
#[derive(Debug, Clone)]
pub(crate) enum Answer {
    /// Say this.
    Say(Box<Message>),
    /// Not ours: ask on.
    Forward,
    /// Not a question.
    Ignore,
}

fn reply(query: &Message, code: ResponseCode) -> Message {
    let mut reply = Message::new(query.metadata.id, MessageType::Response, query.metadata.op_code);
    reply.metadata = Metadata::response_from_request(&query.metadata);
    reply.metadata.recursion_available = true;
    reply.metadata.response_code = code;
    reply.queries.clone_from(&query.queries);
    reply
}

/// An answer that says only that there is none.
pub(crate) fn failure(query: &Message) -> Message {
    reply(query, ResponseCode::ServFail)
}

/// How much of an answer the asker takes by UDP.
pub(crate) fn udp_limit(query: &Message) -> usize {
    query.edns.as_ref().map_or(PLAIN_UDP, |_| query.max_payload()).max(PLAIN_UDP).into()
}

fn addresses(name: &Name, kind: RecordType, addresses: &[IpAddr], turn: usize) -> Vec<Record> {
    let data = |address: &IpAddr| match (kind, address) {
        (RecordType::A, IpAddr::V4(address)) => Some(RData::A(A(*address))),
        (RecordType::AAAA, IpAddr::V6(address)) => Some(RData::AAAA(AAAA(*address))),
        _ => None,
    };
    let mut records: Vec<_> =
        addresses.iter().filter_map(data).map(|data| Record::from_rdata(name.clone(), TTL, data)).collect();
    if !records.is_empty() {
        let by = turn % records.len();
        records.rotate_left(by);
    }
    records
}

/// Decides. `turn` grows with each question, so that the holders of one name take turns.
pub(crate) fn answer(query: &Message, names: &Names, asker: &Asker, turn: usize) -> Answer {
    if query.metadata.message_type != MessageType::Query {
        return Answer::Ignore;
    }
    let say = |message| Answer::Say(Box::new(message));
    let ([question], OpCode::Query) = (query.queries.as_slice(), query.metadata.op_code) else {
        return say(reply(query, ResponseCode::NotImp));
    };
    let beyond = || if names.may_reach_out(asker) { Answer::Forward } else { say(failure(query)) };
    if question.query_class != DNSClass::IN {
        return beyond();
    }
    if question.query_type == RecordType::PTR {
        let address = question.name.parse_arpa_name().ok();
        let whole = address.filter(|net| net.prefix_len() == net.max_prefix_len()).map(|net| net.addr());
        let found = whole.and_then(|address| names.name_of(asker, address));
        let Some(target) = found.and_then(|name| Name::from_ascii(format!("{name}.")).ok()) else {
            return beyond();
        };
        let mut message = reply(query, ResponseCode::NoError);
        message.answers.push(Record::from_rdata(question.name.clone(), TTL, RData::PTR(PTR(target))));
        return say(message);
    }
    let name = question.name.to_ascii().to_lowercase();
    let name = name.trim_end_matches('.');
    let found = if HOST_NAMES.contains(&name) {
        names.may_reach_out(asker).then(|| vec![HOST.into()])
    } else {
        names.look_up(asker, name)
    };
    let Some(found) = found else { return beyond() };
    let mut message = reply(query, ResponseCode::NoError);
    message.answers = addresses(&question.name, question.query_type, &found, turn);
    say(message)
}

#[cfg(test)]
mod tests {
    use agent_proto::v1::{Endpoint, Network};
    use hickory_proto::op::Query;

    use super::*;

    fn endpoint(network: &str, addresses: &[&str], names: &[&str]) -> Endpoint {
        let owned = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
        Endpoint {
            network: Some(Network {
                id: format!("id-{network}"),
                name: network.to_owned(),
                dns: network != "bridge",
                internal: network == "inner",
                ..Network::default()
            }),
            addresses: owned(addresses),
            dns_names: owned(names),
            ..Endpoint::default()
        }
    }

    fn names() -> Names {
        let mut names = Names::default();
        let mut web = endpoint("Front", &["172.18.0.2/16", "fd00::2/64"], &["Web", "www", "0123456789ab"]);
        web.links.insert("store".to_owned(), "172.18.0.9".to_owned());
        names.set("web", &[web]);
        names.set(
            "api",
            &[
                endpoint("front", &["172.18.0.3/16"], &["api", "www"]),
                endpoint("inner", &["172.19.0.3/16"], &["api"]),
            ],
        );
        names.set("db", &[endpoint("inner", &["172.19.0.4/16"], &["db"])]);
        names.set("old", &[endpoint("bridge", &["172.17.0.2/16"], &["old"])]);
        names
    }

    fn ask(who: &str, name: &str, kind: RecordType, turn: usize) -> String {
        let mut query = Message::query();
        query.add_query(Query::query(Name::from_ascii(name).unwrap(), kind));
        let asker = match who.strip_prefix('@') {
            Some(network) => Asker::Gateway(network.to_owned()),
            None => Asker::Container(who.to_owned()),
        };
        // Networks of one name are one: the two spellings show that case does not matter.
        let mut all = names();
        let mut web = all.endpoints("web");
        web[0].network.as_mut().unwrap().id = "id-front".to_owned();
        all.set("web", &web);
        match answer(&query, &all, &asker, turn) {
            Answer::Say(message) => {
                assert_eq!(message.metadata.id, query.metadata.id);
                let read = Message::from_vec(&message.to_vec().unwrap()).unwrap();
                let data: Vec<_> = read.answers.iter().map(|record| record.data.to_string()).collect();
                match read.metadata.response_code {
                    ResponseCode::NoError => data.join(" "),
                    code => format!("{code:?}"),
                }
            }
            Answer::Forward => "forward".to_owned(),
            Answer::Ignore => "ignore".to_owned(),
        }
    }

    #[test]
    fn names_are_answered_within_networks() {
        use RecordType::{A, AAAA, MX, PTR};
        for (who, name, kind, expected) in [
            ("api", "web.", A, "172.18.0.2"),
            ("api", "WEB.", A, "172.18.0.2"),
            ("api", "web.front.", A, "172.18.0.2"),
            ("api", "web.inner.", A, "forward"),
            ("api", "0123456789ab.", A, "172.18.0.2"),
            ("api", "web.", AAAA, "fd00::2"),
            ("web", "api.", AAAA, ""),
            ("web", "api.", MX, ""),
            // A network that one is not on, and the default bridge, have no names.
            ("web", "db.", A, "forward"),
            ("api", "db.", A, "172.19.0.4"),
            ("old", "old.", A, "forward"),
            ("@id-bridge", "old.", A, "forward"),
            // Links are for one container alone.
            ("web", "store.", A, "172.18.0.9"),
            ("api", "store.", A, "forward"),
            // On an internal network alone nothing is asked on.
            ("db", "example.com.", A, "ServFail"),
            ("db", "host.docker.internal.", A, "ServFail"),
            ("db", "api.", A, "172.19.0.3"),
            ("api", "example.com.", A, "forward"),
            ("old", "host.docker.internal.", A, "10.0.2.2"),
            ("@id-bridge", "Gateway.Docker.Internal.", A, "10.0.2.2"),
            ("@id-bridge", "gateway.docker.internal.", AAAA, ""),
            ("web", "3.0.18.172.in-addr.arpa.", PTR, "api.front."),
            ("web", "4.0.19.172.in-addr.arpa.", PTR, "forward"),
            ("db", "1.1.1.1.in-addr.arpa.", PTR, "ServFail"),
        ] {
            assert_eq!(ask(who, name, kind, 0), expected, "{who} asks for {name} {kind}");
        }
    }

    #[test]
    fn holders_of_an_alias_take_turns() {
        assert_eq!(ask("api", "www.", RecordType::A, 0), "172.18.0.3 172.18.0.2");
        assert_eq!(ask("api", "www.", RecordType::A, 1), "172.18.0.2 172.18.0.3");
        assert_eq!(ask("api", "www.", RecordType::A, 2), "172.18.0.3 172.18.0.2");
    }

    #[test]
    fn what_is_no_question_gets_no_answer() {
        let message = Message::new(1, MessageType::Response, OpCode::Query);
        let asker = Asker::Container("api".to_owned());
        assert!(matches!(answer(&message, &names(), &asker, 0), Answer::Ignore));
        let empty = Message::query();
        let Answer::Say(said) = answer(&empty, &names(), &asker, 0) else { panic!("nothing said") };
        assert_eq!(said.metadata.response_code, ResponseCode::NotImp);
    }

    #[test]
    fn a_small_client_takes_512_bytes() {
        let mut query = Message::query();
        assert_eq!(udp_limit(&query), 512);
        let mut edns = hickory_proto::op::Edns::new();
        edns.set_max_payload(1232);
        query.set_edns(edns);
        assert_eq!(udp_limit(&query), 1232);
    }
}
