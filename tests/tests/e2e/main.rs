//! The end-to-end tests, one module for each part of what a person does with Coracle. One program holds them all: twenty
//! would each link the same libraries and take twenty times the disk.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod command_line;
mod crash;
mod desktop;
mod dist;
mod docker;
mod faults;
mod fields;
mod folders;
mod ide;
mod images;
mod isolation;
mod lab;
mod layers;
mod networks;
mod own_vm;
mod ports;
mod push;
mod real_image;
mod reconcile;
mod registries;
mod settings;
mod transport;
mod verbs;
mod versions;
mod vm;
mod volumes;
