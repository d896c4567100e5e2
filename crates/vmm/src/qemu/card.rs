//! Plugging in the network card whose other side is on a socket of the host. It stays until the machine ends; QEMU
//! connects again to a socket that goes and comes.

use std::path::Path;

use qapi::qmp;

use super::command_line::CARD_BUS;
use super::machine::{QemuMachine, chardev_add};
use crate::CardError;

const DRIVER: &str = "virtio-net-pci";
/// Device, netdev and chardev.
const ID: &str = "card";
/// How long QEMU waits before it connects again.
const AGAIN_SECONDS: i64 = 1;

impl QemuMachine {
    /// Done when it is there.
    pub(super) async fn add_card(&self, socket: &Path, address: &str) -> Result<(), CardError> {
        let refused =
            |command| move |error| CardError::Control { command, detail: crate::error::chain(&error) };
        if self.is_there(ID).await {
            return Ok(());
        }
        let mut chardev = chardev_add(ID, socket);
        if let qmp::ChardevBackend::socket(wrapped) = &mut chardev.backend {
            wrapped.data.reconnect = Some(AGAIN_SECONDS);
        }
        self.run("chardev-add", chardev).await.map_err(refused("chardev-add"))?;
        let options = qmp::NetdevVhostUserOptions { chardev: ID.into(), queues: None, vhostforce: None };
        let netdev = qmp::Netdev::vhost_user { id: ID.into(), vhost_user: options };
        if let Err(error) = self.run("netdev_add", qmp::netdev_add(netdev)).await {
            let _ = self.run("chardev-remove", qmp::chardev_remove { id: ID.into() }).await;
            return Err(refused("netdev_add")(error));
        }
        let properties = [
            ("netdev".to_owned(), ID.into()),
            ("mac".to_owned(), address.into()),
            ("romfile".to_owned(), "".into()),
            ("rx_queue_size".to_owned(), 1_024.into()),
            ("tx_queue_size".to_owned(), 1_024.into()),
        ];
        let device = qmp::device_add::new(DRIVER, ID.to_owned(), CARD_BUS.to_owned(), properties);
        self.run("device_add", device).await.map(drop).map_err(refused("device_add"))
    }
}
