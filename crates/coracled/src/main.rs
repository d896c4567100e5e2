//! The host service: the one place where the parts are put together.
fn main() {}
