//! The network card whose other side is on a socket of the host (crate `netcard`).

/// Why the guest has not got it.
#[derive(Debug, Clone, thiserror::Error)]
pub enum CardError {
    /// There is no VM, or nobody who runs it.
    #[error("the VM does not run")]
    Off,
    /// Of this hypervisor.
    #[error("this hypervisor has no way for it")]
    Unsupported,
    /// A control command failed.
    #[error("control command {command} failed: {detail}")]
    Control {
        /// Which.
        command: &'static str,
        /// Why.
        detail: String,
    },
}
