//! The desktop app, by clicks, in a real window against a real VM.

mod first_run;
mod following;
mod lab;
mod pages;
mod updates;
mod work;

use std::{collections::HashMap, fs::File, io::Read as _, path::Path};

use coracle_e2e::Layer;

/// The busybox of the bundled image.
fn hello_layer() -> Layer {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/vm-image/hello.tar");
    let mut blobs = HashMap::new();
    for entry in tar::Archive::new(File::open(file).unwrap()).entries().unwrap() {
        let mut entry = entry.unwrap();
        let name = entry.path().unwrap().file_name().unwrap().to_string_lossy().into_owned();
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).unwrap();
        blobs.insert(name, bytes);
    }
    let json = |name: &str| serde_json::from_slice::<serde_json::Value>(&blobs[name]).unwrap();
    let named = |descriptor: &serde_json::Value| {
        descriptor["digest"].as_str().unwrap().trim_start_matches("sha256:").to_owned()
    };
    let manifest = json(&named(&json("index.json")["manifests"][0]));
    Layer::of(blobs[&named(&manifest["layers"][0])].clone())
}
