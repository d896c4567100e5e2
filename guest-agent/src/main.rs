//! Everything that runs inside the VM: init, agent and shim, one static binary.
fn main() {}
