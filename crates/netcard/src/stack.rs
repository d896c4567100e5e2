//! All connections of the card, and the time that TCP needs.

use std::collections::HashSet;
use std::io;
use std::net::SocketAddrV4;
use std::pin::pin;
use std::sync::{Arc, LazyLock};
use std::time::{Duration, SystemTime};

use smoltcp::iface::{Config, Interface, PollResult, SocketHandle, SocketSet};
use smoltcp::socket::tcp::{Socket, SocketBuffer, State};
use smoltcp::time::Instant;
use smoltcp::wire::{HardwareAddress, IpCidr, Ipv4Address};

use crate::link::Link;
use crate::wire::Wire;
use crate::{Route, SOURCE_PORTS, Shared};

/// What a connection may hold for its client, and so the window that the guest sees.
const RECEIVE_BYTES: usize = 64 << 10;
/// What a connection may hold for the guest.
const SEND_BYTES: usize = 32 << 10;
/// How long a request's answer may carry the acknowledgement; as Linux waits.
const ACK_DELAY: smoltcp::time::Duration = smoltcp::time::Duration::from_millis(40);
/// What a connection that nobody holds any more may take to deliver the rest.
const FAREWELL: smoltcp::time::Duration = smoltcp::time::Duration::from_secs(10);
/// Timers run no finer than this.
const TICK: Duration = Duration::from_millis(10);

/// A connection's number here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Socketed {
    pub(crate) handle: SocketHandle,
    local: u16,
    target: SocketAddrV4,
}

/// The clock of TCP's timestamps, in milliseconds modulo 2^32. A guest keeps the ends of a connection that it closed first
/// for a minute, and ports come around sooner than that: it takes a new connection between the same ends at once if its
/// timestamp is later (RFC 6191), also than those of a coracled that ran before.
fn timestamp() -> u32 {
    static BEGIN: LazyLock<(std::time::Instant, Duration)> = LazyLock::new(|| {
        let unix = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        (std::time::Instant::now(), unix)
    });
    let (since, unix) = *BEGIN;
    ((unix + since.elapsed()).as_millis() & u128::from(u32::MAX)) as u32
}

/// TCP's state. One lock holds it all.
pub(crate) struct Stack {
    interface: Interface,
    sockets: SocketSet<'static>,
    wire: Wire,
    /// Ports of ours that lead to a target.
    taken: HashSet<(u16, SocketAddrV4)>,
    last_port: u16,
    /// Not held by anyone, but not yet over.
    leaving: Vec<Socketed>,
}

impl Stack {
    pub(crate) fn new() -> Self {
        let mut wire = Wire::default();
        let mut config = Config::new(HardwareAddress::Ip);
        config.random_seed = std::hash::BuildHasher::hash_one(&std::hash::RandomState::new(), 0);
        let mut interface = Interface::new(config, &mut wire, Instant::now());
        // Every address is ours: what a container sees as its client is its network's gateway.
        let own = Ipv4Address::new(169, 254, 0, 1);
        interface.update_ip_addrs(|addresses| {
            let _ = addresses.push(IpCidr::new(own.into(), 32));
        });
        interface.set_any_ip(true);
        let _ = interface.routes_mut().add_default_ipv4_route(own);
        Self {
            interface,
            sockets: SocketSet::new(Vec::new()),
            wire,
            taken: HashSet::new(),
            last_port: *SOURCE_PORTS.end(),
            leaving: Vec::new(),
        }
    }

    pub(crate) fn is_plugged(&self) -> bool {
        self.wire.link.is_some()
    }

    /// A guest takes the card into use.
    #[cfg_attr(not(target_os = "linux"), allow(dead_code, reason = "nothing plugs cards there"))]
    pub(crate) fn plug(&mut self, link: Box<dyn Link>) {
        self.wire.link = Some(link);
        self.run();
    }

    /// The guest stops to use it; where it stood in its queues. `for_good`: it will not go on.
    #[cfg_attr(not(target_os = "linux"), allow(dead_code, reason = "nothing plugs cards there"))]
    pub(crate) fn unplug(&mut self, for_good: bool) -> Option<[u16; 2]> {
        let positions = self.wire.link.take().map(|link| link.positions());
        if for_good {
            for (_, socket) in self.sockets.iter_mut() {
                let smoltcp::socket::Socket::Tcp(socket) = socket;
                socket.abort();
            }
            self.run();
        }
        positions
    }

    pub(crate) fn socket(&mut self, which: Socketed) -> &mut Socket<'static> {
        self.sockets.get_mut(which.handle)
    }

    /// Begins a connection.
    pub(crate) fn connect(&mut self, route: Route) -> io::Result<Socketed> {
        if !self.is_plugged() {
            return Err(io::ErrorKind::NotConnected.into());
        }
        let local = self.free_port(route.target).ok_or(io::ErrorKind::AddrInUse)?;
        let buffer = |bytes| SocketBuffer::new(vec![0; bytes]);
        let mut socket = Socket::new(buffer(RECEIVE_BYTES), buffer(SEND_BYTES));
        socket.set_nagle_enabled(false);
        socket.set_ack_delay(Some(ACK_DELAY));
        socket.set_tsval_generator(Some(timestamp));
        let begun = socket.connect(self.interface.context(), route.target, (route.source, local));
        begun.map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error.to_string()))?;
        self.wire.devices.insert(*route.target.ip(), route.device);
        self.taken.insert((local, route.target));
        let handle = self.sockets.add(socket);
        Ok(Socketed { handle, local, target: route.target })
    }

    fn free_port(&mut self, target: SocketAddrV4) -> Option<u16> {
        for _ in SOURCE_PORTS {
            let next = self.last_port.checked_add(1).unwrap_or(*SOURCE_PORTS.start());
            self.last_port = next;
            if !self.taken.contains(&(next, target)) {
                return Some(next);
            }
        }
        None
    }

    /// Nobody holds it any more: what has its end still goes there, what has not is reset.
    pub(crate) fn leave(&mut self, which: Socketed) {
        let socket = self.socket(which);
        match socket.state() {
            State::SynSent | State::SynReceived | State::Established | State::CloseWait => socket.abort(),
            // Unread bytes tell as well that it broke.
            _ if socket.can_recv() => socket.abort(),
            _ => socket.set_timeout(Some(FAREWELL)),
        }
        self.leaving.push(which);
    }

    /// Does all that can be done now.
    pub(crate) fn run(&mut self) {
        let now = Instant::now();
        loop {
            while self.interface.poll(now, &mut self.wire, &mut self.sockets) != PollResult::None {}
            if self.wire.link.as_deref_mut().is_none_or(Link::settle) {
                break;
            }
        }
        self.forget();
    }

    fn forget(&mut self) {
        let plugged = self.is_plugged();
        let (sockets, taken) = (&mut self.sockets, &mut self.taken);
        self.leaving.retain(|which| {
            let socket = sockets.get::<Socket<'_>>(which.handle);
            // A reset that has not been sent keeps the endpoint.
            let over = match socket.state() {
                State::Closed => !plugged || socket.remote_endpoint().is_none(),
                State::TimeWait => true,
                _ => false,
            };
            if over {
                sockets.remove(which.handle);
                taken.remove(&(which.local, which.target));
            }
            !over
        });
    }

    /// When something is to be done that nothing else calls for.
    fn next(&mut self) -> Option<Duration> {
        let delay = self.interface.poll_delay(Instant::now(), &self.sockets)?;
        Some(delay.into())
    }
}

/// Does what is to be done, for as long as the runtime lives.
///
/// One task for all: what several connections stir at a time goes to the guest together, and tells it once.
pub(crate) async fn keep_running(shared: Arc<Shared>) {
    let mut alarm = pin!(tokio::time::sleep(Duration::ZERO));
    loop {
        let stirred = shared.stirred.notified();
        let next = {
            let mut stack = shared.stack();
            stack.run();
            stack.next()
        };
        if let Some(delay) = next {
            let due = tokio::time::Instant::now() + delay.max(TICK);
            // One that is set too early costs less than to set it for each packet.
            if alarm.is_elapsed() || due < alarm.deadline() {
                alarm.as_mut().reset(due);
            }
        }
        tokio::select! {
            () = stirred => {}
            () = &mut alarm, if !alarm.is_elapsed() => {}
        }
    }
}
