//! What crosses between shell and page, a module for each kind of thing. The page's types (ui/src/lib/bindings.ts) are
//! generated from these, by the test below.

/// The types of a module that the page gets.
macro_rules! declared {
    ($($name:ident),+ $(,)?) => {
        #[cfg(test)]
        pub(super) fn declarations() -> Vec<String> {
            use ts_rs::TS as _;
            vec![$($name::decl()),+]
        }
    };
}

mod container_details;
mod container_files;
mod container_isolation;
mod containers;
mod image_files;
mod images;
mod networks;
mod run;
mod service;
mod settings;
mod system;
mod usage;
mod volumes;

pub(crate) use container_details::*;
pub(crate) use container_files::*;
pub(crate) use container_isolation::*;
pub(crate) use containers::*;
pub(crate) use image_files::*;
pub(crate) use images::*;
pub(crate) use networks::*;
pub(crate) use run::*;
pub(crate) use service::*;
pub(crate) use settings::*;
pub(crate) use system::*;
pub(crate) use usage::*;
pub(crate) use volumes::*;

#[cfg(test)]
mod tests {
    use std::{env, fs, path::Path};

    use ts_rs::TS as _;

    use crate::failure::{Code, Failure};

    /// The page's types, written from the Rust ones. `BLESS=1 cargo nextest run -p coracle-desktop` renews the file.
    #[test]
    fn the_pages_types_are_these() {
        let modules = [
            vec![Code::decl(), Failure::decl()],
            super::container_details::declarations(),
            super::container_files::declarations(),
            super::container_isolation::declarations(),
            super::containers::declarations(),
            super::image_files::declarations(),
            super::images::declarations(),
            super::networks::declarations(),
            super::run::declarations(),
            super::service::declarations(),
            super::settings::declarations(),
            super::system::declarations(),
            super::usage::declarations(),
            super::volumes::declarations(),
        ];
        same_as("bindings.ts", "src-tauri/src/model", modules.into_iter().flatten().collect());
    }

    /// The Lab's report is the same for all clients; its names are too plain to stand among the others.
    #[test]
    fn the_labs_types_are_these() {
        same_as("lab-bindings.ts", "crates/lab", lab::page::declarations());
    }

    fn same_as(name: &str, made_from: &str, mut declarations: Vec<String>) {
        declarations.sort();
        let mut text = format!("// Generated from {made_from} by a test of src-tauri/src/model.\n");
        for declaration in declarations {
            text.push_str("\nexport ");
            for line in declaration.lines() {
                // What crosses is JSON, whose numbers are these.
                text.push_str(&line.trim_end().replace("bigint", "number"));
                text.push('\n');
            }
        }
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../ui/src/lib").join(name);
        if env::var_os("BLESS").is_some() {
            fs::write(&file, &text).unwrap();
        }
        assert_eq!(fs::read_to_string(&file).unwrap(), text, "{} is old", file.display());
    }
}
