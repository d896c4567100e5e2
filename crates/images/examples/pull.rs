//! Pulls one image into a folder and says how long it took: for measuring the store without the service.
//!
//! `cargo run --release -p images --example pull -- REFERENCE FOLDER`

use std::path::Path;
use std::time::Instant;

use images::{RegistrySettings, Store};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

#[tokio::main]
async fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [reference, folder] = arguments.as_slice() else {
        eprintln!("usage: pull REFERENCE FOLDER");
        std::process::exit(2);
    };
    if let Err(error) = pull(reference, Path::new(folder)).await {
        eprintln!("{error}");
        std::process::exit(1);
    }
}

async fn pull(reference: &str, folder: &Path) -> Result<(), Box<dyn std::error::Error>> {
    let store =
        Store::open(&folder.join("images"), &folder.join("images.redb"), RegistrySettings::default()).await?;
    let (sender, mut receiver) = mpsc::channel(64);
    let printer = tokio::spawn(async move {
        while let Some(progress) = receiver.recv().await {
            println!("{progress:?}");
        }
    });
    let start = Instant::now();
    let image = store
        .pull(&reference.parse()?, None, images::Credentials::Anonymous, sender, CancellationToken::new())
        .await;
    let took = start.elapsed();
    printer.await?;
    let image = image?;
    store.close().await;
    println!(
        "{} in {:.3} s, {} bytes, {} layers",
        image.id,
        took.as_secs_f64(),
        image.size_bytes,
        image.layers.len()
    );
    Ok(())
}
