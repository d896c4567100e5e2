//! The operating system's part: positioned I/O and holes.

#[cfg_attr(target_os = "linux", path = "linux.rs")]
#[cfg_attr(target_os = "macos", path = "macos.rs")]
#[cfg_attr(windows, path = "windows.rs")]
#[cfg_attr(not(any(target_os = "linux", target_os = "macos", windows)), path = "other.rs")]
mod holes;
#[cfg_attr(unix, path = "unix_io.rs")]
#[cfg_attr(windows, path = "windows_io.rs")]
mod positioned;

pub(super) use holes::{make_sparse, next_data, open_direct, punch_hole};
pub(super) use positioned::{read_exact_at, write_all_at};
