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
mod run;
mod service;
mod settings;
mod system;
mod usage;

pub(crate) use container_details::*;
pub(crate) use container_files::*;
pub(crate) use container_isolation::*;
pub(crate) use containers::*;
pub(crate) use image_files::*;
pub(crate) use images::*;
pub(crate) use run::*;
pub(crate) use service::*;
pub(crate) use settings::*;
pub(crate) use system::*;
pub(crate) use usage::*;

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
            super::run::declarations(),
            super::service::declarations(),
            super::settings::declarations(),
            super::system::declarations(),
            super::usage::declarations(),
        ];
        let mut declarations: Vec<String> = modules.into_iter().flatten().collect();
        declarations.sort();
        let mut text = String::from("// Generated from src-tauri/src/model by its test; see there.\n");
        for declaration in declarations {
            text.push_str("\nexport ");
            for line in declaration.lines() {
                text.push_str(line.trim_end());
                text.push('\n');
            }
        }
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../ui/src/lib/bindings.ts");
        if env::var_os("BLESS").is_some() {
            fs::write(&file, &text).unwrap();
        }
        assert_eq!(fs::read_to_string(&file).unwrap(), text, "{} is old", file.display());
    }
}
