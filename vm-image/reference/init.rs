//! The init that a boot is compared with by `cargo xtask bench`: it says one line on the console and ends. The kernel
//! then panics, and with the VM's own arguments (`panic=-1`, `-no-reboot`) that is the power-off.

fn main() {
    println!("reference init");
}
