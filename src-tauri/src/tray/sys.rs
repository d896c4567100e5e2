//! Whether this system can show a tray: asked before, because the library that draws it on Linux ends the program when a
//! part of it is missing.

#![allow(unsafe_code, reason = "a library can only be tried by loading it")]

/// Names that the tray's library is looked for under, in its own order.
const LIBRARIES: [&str; 4] = [
    "libayatana-appindicator3.so.1",
    "libappindicator3.so.1",
    "libayatana-appindicator3.so",
    "libappindicator3.so",
];

/// Whether the library can be loaded.
pub(super) fn has_library() -> bool {
    LIBRARIES.iter().any(|name| {
        // SAFETY: loading runs the library's initialisers. These are the libraries that the tray itself would load next,
        // by the same names; they have none that depend on this program's state.
        unsafe { libloading::Library::new(name) }.is_ok()
    })
}
