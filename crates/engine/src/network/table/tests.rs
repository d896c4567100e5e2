use bollard_stubs::models::{EndpointIpamConfig, EndpointSettings, NetworkCreateRequest};

use super::*;
use crate::record::tests::record;

fn networks() -> Networks {
    let (networks, made) = Networks::load(Vec::new());
    assert_eq!(made.len(), 3);
    networks
}

fn create(networks: &Networks, name: &str) -> Network {
    let request = NetworkCreateRequest { name: name.into(), ..Default::default() };
    networks.insert(super::super::check(request).unwrap()).unwrap()
}

fn on(name: &str, network: &Network, wanted: EndpointSettings) -> Record {
    let mut record = record();
    record.name = name.into();
    let mut attachment = Attachment::new(&network.name, wanted);
    attachment.network_id.clone_from(&network.id);
    record.networks = vec![attachment];
    record
}

fn nobody(_: &str) -> Option<(ContainerId, String)> {
    None
}

#[test]
fn networks_are_found_as_docker_finds_them() {
    let networks = networks();
    let web = create(&networks, "web");
    for text in ["web", &web.id, &web.id[..12]] {
        assert_eq!(networks.find(text).unwrap(), web);
    }
    assert_eq!(networks.find("nope"), Err(NetworkError::NotFound("nope".into())));
    let request = NetworkCreateRequest { name: "web".into(), ..Default::default() };
    let again = networks.insert(super::super::check(request).unwrap());
    assert_eq!(again, Err(NetworkError::Exists("web".into())));
}

#[test]
fn addresses_are_held_by_one_and_given_back() {
    let networks = networks();
    let web = create(&networks, "web");
    let (mut a, mut b) = (on("a", &web, Default::default()), on("b", &web, Default::default()));
    a.networks = networks.take(&a, &nobody).unwrap();
    b.networks = networks.take(&b, &nobody).unwrap();
    let address = |record: &Record| networks.address_of(record).unwrap().to_string();
    assert_eq!((address(&a).as_str(), address(&b).as_str()), ("172.18.0.2", "172.18.0.3"));
    let short = a.id.short().to_owned();
    assert_eq!(a.networks[0].live.as_ref().unwrap().dns_names, ["a".to_owned(), short]);
    let refused = networks.remove(&web.id).unwrap_err().to_string();
    assert!(refused.contains("has active endpoints (name:\"a\" id:\""), "{refused}");
    networks.released(&a.id);
    let mut c = on("c", &web, Default::default());
    c.networks = networks.take(&c, &nobody).unwrap();
    assert_eq!(address(&c), "172.18.0.2");
    // A second take is level-triggered.
    b.networks = networks.take(&b, &nobody).unwrap();
    assert_eq!(networks.on(&web.id).len(), 2);
}

#[test]
fn a_fixed_address_is_taken_once() {
    let networks = networks();
    let mut request = NetworkCreateRequest { name: "web".into(), ..Default::default() };
    request.ipam = serde_json::from_str(r#"{"Config":[{"Subnet":"10.9.0.0/24"}]}"#).unwrap();
    let web = networks.insert(super::super::check(request).unwrap()).unwrap();
    let fixed = || EndpointSettings {
        ipam_config: Some(EndpointIpamConfig { ipv4_address: Some("10.9.0.7".into()), ..Default::default() }),
        ..Default::default()
    };
    let a = on("a", &web, fixed());
    assert_eq!(
        networks.take(&a, &nobody).unwrap()[0].live.as_ref().unwrap().ipv4.unwrap().0.octets(),
        [10, 9, 0, 7]
    );
    let refused = networks.take(&on("b", &web, fixed()), &nobody).unwrap_err();
    assert_eq!(refused.to_string(), "failed to set up container networking: Address already in use");
}

#[test]
fn the_default_route_goes_to_the_highest_priority_with_a_way_out() {
    let networks = networks();
    let (a, b) = (create(&networks, "a"), create(&networks, "b"));
    let mut record = on("c", &a, Default::default());
    let wanted = EndpointSettings { gw_priority: Some(5), ..Default::default() };
    let mut second = Attachment::new("b", wanted);
    second.network_id = b.id;
    record.networks.push(second);
    record.networks = networks.take(&record, &nobody).unwrap();
    let endpoints = networks.endpoints(&record);
    let shown: Vec<_> = endpoints.iter().map(|e| (e.interface.as_str(), e.default_route)).collect();
    assert_eq!(shown, [("eth1", true), ("eth0", false)]);
}

#[test]
fn links_need_a_running_container_on_the_default_network() {
    let networks = networks();
    let bridge = networks.find("bridge").unwrap();
    let mut db = on("db", &bridge, Default::default());
    let mut web = on("web", &bridge, Default::default());
    web.host_config.links = Some(vec!["/db:/web/store".into()]);
    let find = |name: &str| (name == "db").then(|| (db.id.clone(), "db".to_owned()));
    assert!(
        networks
            .take(&web, &find)
            .unwrap_err()
            .to_string()
            .contains("non running container: /db AS /web/store")
    );
    db.networks = networks.take(&db, &nobody).unwrap();
    let find = |name: &str| (name == "db").then(|| (db.id.clone(), "db".to_owned()));
    web.networks = networks.take(&web, &find).unwrap();
    let hosts = super::super::hosts(&web);
    assert!(hosts.contains(&format!("172.17.0.2\tstore {} db\n", db.id.short())), "{hosts}");
    assert!(hosts.contains("172.17.0.3\t"), "{hosts}");
}

#[test]
fn links_are_split_as_docker_writes_them() {
    for (link, expected) in
        [("db", ("db", "db")), ("db:store", ("db", "store")), ("/db:/web/store", ("db", "store"))]
    {
        assert_eq!(split_link(link), expected);
    }
}
