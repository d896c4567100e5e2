//! cargo xtask run | test | vm-image | bench | tidy
fn main() {}
