//! Networks and the places that containers have in them.
//!
//! ```text
//!  Docker's request ─► request (checked, pools chosen by ipam) ─► Network (record, database)
//!  a container's record ─► Attachment (what was asked for) ─► Live (addresses while it runs) ─► v1::Endpoint
//! ```
//!
//! Invariants: a network's name, subnets and bridge device are its own; an address is held by one running
//! container at most; what a container holds stands in its record, so that a coracled that dies forgets
//! nothing; the guest is told whole states ([`sync`]) and mends what differs.
//!
//! Must not know: how bridges, rules and names are made in the guest; how ports are published.

mod attachment;
mod error;
mod filter;
pub(crate) mod guest;
pub(crate) mod ipam;
mod mode;
mod record;
mod request;
mod table;
mod text;
mod view;

pub(crate) use attachment::{Attachment, attachments, validate};
pub use error::NetworkError;
pub(crate) use filter::Filters;
pub(crate) use mode::{Mode, mac_conflict};
pub(crate) use record::Network;
pub(crate) use request::{Wanted, check};
pub(crate) use table::{Networks, dns_names, split_link};
pub(crate) use text::{HOST_GATEWAY, hosts, resolv_conf};
pub(crate) use view::{inspect, sandbox, settings};
