#![no_main]
coracle_fuzz::target!("manifest");
