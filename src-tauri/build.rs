//! Turns tauri.conf.json and the list of commands into the shell's permissions.

use std::path::Path;

/// Every command of the shell. What is not named here, and allowed in capabilities/main.json, the page cannot call.
const COMMANDS: &[&str] = &[
    "watch",
    "service_start",
    "vm_start",
    "vm_stop",
    "containers_list",
    "container_run",
    "container_start",
    "container_stop",
    "container_remove",
    "container_logs",
    "images_list",
    "image_pull",
    "image_remove",
    "stream_close",
];

fn main() {
    if !Path::new("../ui/dist/index.html").exists() {
        println!("cargo::error=the front end is not built: run `npm ci` and `npm run build` in ui/");
        return;
    }
    let manifest = tauri_build::AppManifest::new().commands(COMMANDS);
    let attributes = tauri_build::Attributes::new().app_manifest(manifest);
    if let Err(error) = tauri_build::try_build(attributes) {
        println!("cargo::error={error:#}");
    }
}
