//! Settings that count while containers run.

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;

use super::Engine;
use crate::network;
use crate::ports::PublishOn;
use crate::session::Of;

impl Engine {
    /// The folders of the host that containers may mount from now on. What is mounted already stays.
    pub fn set_file_sharing(&self, folders: Vec<PathBuf>) {
        self.shared.shares.set_roots(folders);
    }

    /// Where ports are published that name no address, of containers that start from now on.
    pub fn set_publish_on(&self, on: PublishOn) {
        self.shared.ports.set_publish_on(on);
    }

    /// Who is asked for names that are not ours; none: the host's resolver. Guests that run are told.
    pub fn set_name_servers(&self, servers: Vec<IpAddr>) {
        if !self.shared.networks.set_name_servers(servers) {
            return;
        }
        let shared = &self.shared;
        let main = shared.machine.agent().map(|agent| (Of::All, agent));
        let own = shared.registry.all().into_iter().filter_map(|handle| {
            let agent = shared.own_vms.agent(&handle.id)?;
            Some((Of::One(handle.id), agent))
        });
        for (of, agent) in main.into_iter().chain(own) {
            shared.spawn(network::guest::sync(Arc::clone(shared), of.handles(shared), agent));
        }
    }
}
