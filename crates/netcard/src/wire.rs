//! A link as smoltcp wants it: packets, one at a time.

use std::collections::HashMap;
use std::net::Ipv4Addr;

use smoltcp::phy::{Checksum, ChecksumCapabilities, Device, DeviceCapabilities, Medium, RxToken, TxToken};
use smoltcp::time::Instant;

use crate::frame;
use crate::link::Link;

/// Packets from and to the guest, if there is one.
#[derive(Default)]
pub(crate) struct Wire {
    pub(crate) link: Option<Box<dyn Link>>,
    /// The guest's device for each address of a container.
    pub(crate) devices: HashMap<Ipv4Addr, u32>,
    incoming: Vec<u8>,
    outgoing: Vec<u8>,
}

/// The packet that was taken last.
pub(crate) struct Incoming<'w>(&'w [u8]);

/// Room for one packet.
pub(crate) struct Outgoing<'w> {
    link: &'w mut dyn Link,
    devices: &'w HashMap<Ipv4Addr, u32>,
    frame: &'w mut Vec<u8>,
}

impl Device for Wire {
    type RxToken<'w> = Incoming<'w>;
    type TxToken<'w> = Outgoing<'w>;

    fn receive(&mut self, _: Instant) -> Option<(Incoming<'_>, Outgoing<'_>)> {
        let link = self.link.as_deref_mut()?;
        // What comes may have to be answered.
        if !link.has_room() {
            return None;
        }
        loop {
            if !link.take(&mut self.incoming) {
                return None;
            }
            if frame::packet(&self.incoming).is_some() {
                break;
            }
        }
        frame::announce_long_segments(&mut self.incoming);
        let packet = frame::packet(&self.incoming)?;
        Some((Incoming(packet), Outgoing { link, devices: &self.devices, frame: &mut self.outgoing }))
    }

    fn transmit(&mut self, _: Instant) -> Option<Outgoing<'_>> {
        let link = self.link.as_deref_mut()?;
        link.has_room().then_some(Outgoing { link, devices: &self.devices, frame: &mut self.outgoing })
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ip;
        capabilities.max_transmission_unit = frame::PACKET_BYTES;
        // Memory does not change what it holds; a kernel looks at IP's all the same.
        let mut checksums = ChecksumCapabilities::ignored();
        checksums.ipv4 = Checksum::Tx;
        capabilities.checksum = checksums;
        capabilities
    }
}

impl RxToken for Incoming<'_> {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, read: F) -> R {
        read(self.0)
    }
}

impl TxToken for Outgoing<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, length: usize, write: F) -> R {
        self.frame.resize(frame::HEAD + length, 0);
        let packet = &mut self.frame[frame::HEAD..];
        let result = write(packet);
        let device = frame::destination(packet).and_then(|target| self.devices.get(&target));
        if let Some(device) = device {
            frame::seal(self.frame, *device);
            self.link.put(self.frame);
        }
        result
    }
}
