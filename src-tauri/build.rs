//! Turns tauri.conf.json and the list of commands into the shell's permissions.

use std::path::Path;

include!("src/commands/list.rs");

macro_rules! names {
    [$($_first:ident :: $_module:ident :: $name:ident),+ $(,)?] => { &[$(stringify!($name)),+] };
}

const COMMANDS: &[&str] = with_commands!(names);

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
