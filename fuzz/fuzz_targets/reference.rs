#![no_main]
coracle_fuzz::target!("reference");
