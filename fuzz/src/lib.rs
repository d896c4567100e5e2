//! One target of `images::fuzzing` each. With `CORACLE_FUZZ_SEEDS` set, its beginnings are written to that folder first.

/// Makes this program the fuzz target of this name.
#[macro_export]
macro_rules! target {
    ($name:literal) => {
        libfuzzer_sys::fuzz_target!(
            init: {
                if let Some(folder) = std::env::var_os("CORACLE_FUZZ_SEEDS") {
                    images::fuzzing::write_seeds($name, folder.as_ref()).expect("the folder can be written");
                }
            },
            |bytes: &[u8]| {
                for (_, run, _) in images::fuzzing::TARGETS.iter().filter(|(name, ..)| *name == $name) {
                    run(bytes);
                }
            }
        );
    };
}
