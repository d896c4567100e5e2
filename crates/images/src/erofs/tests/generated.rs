//! Generated archives against a naive model of what a layer is.

use proptest::prelude::*;

use super::*;

#[derive(Debug, Clone, PartialEq, Default)]
struct Model {
    kind: u8,
    mode: u32,
    contents: Vec<u8>,
    opaque: bool,
    /// Which entry made it: equal for hard links.
    made_by: usize,
}

/// Paths to nodes; `None` when the archive must be refused.
fn model(specs: &[Spec]) -> Option<BTreeMap<String, Model>> {
    let directory = |opaque| Model { kind: b'5', mode: 0o755, opaque, ..Model::default() };
    let mut tree = BTreeMap::from([(String::new(), directory(false))]);
    for (i, spec) in specs.iter().enumerate() {
        let path = String::from_utf8(spec.path.clone()).unwrap();
        let (parent, name) = path.rsplit_once('/').unwrap_or(("", &path));
        let mut at = String::new();
        for component in parent.split('/').filter(|c| !c.is_empty()) {
            at = if at.is_empty() { component.to_owned() } else { format!("{at}/{component}") };
            match tree.get(&at).map(|m| m.kind) {
                Some(b'5') => {}
                Some(b'w') => drop(tree.insert(at.clone(), directory(true))),
                Some(_) => return None,
                None => drop(tree.insert(at.clone(), directory(false))),
            }
        }
        if name == ".wh..wh..opq" {
            tree.get_mut(parent).unwrap().opaque = true;
            continue;
        }
        if let Some(hidden) = name.strip_prefix(".wh.") {
            let hidden = if parent.is_empty() { hidden.to_owned() } else { format!("{parent}/{hidden}") };
            match tree.get_mut(&hidden) {
                Some(known) => known.opaque |= known.kind == b'5',
                None => drop(tree.insert(hidden, Model { kind: b'w', made_by: i, ..Model::default() })),
            }
            continue;
        }
        let old = tree.get(&path).cloned();
        let old_kind = old.as_ref().map_or(0, |m| m.kind);
        let new = match spec.flag {
            b'1' => {
                let target = tree.get(std::str::from_utf8(&spec.link).unwrap())?;
                if target.kind == b'5' || target.kind == b'w' {
                    return None;
                }
                target.clone()
            }
            b'5' if old_kind == b'5' => Model { mode: spec.mode, ..old.unwrap() },
            flag => Model {
                kind: flag,
                mode: spec.mode,
                contents: if flag == b'2' { spec.link.clone() } else { spec.data.clone() },
                opaque: flag == b'5' && old_kind == b'w',
                made_by: i,
            },
        };
        if new.kind != b'5' {
            let below = format!("{path}/");
            tree.retain(|p, _| !p.starts_with(&below));
        }
        tree.insert(path, new);
    }
    Some(tree)
}

fn path() -> impl Strategy<Value = String> {
    prop::collection::vec(prop::sample::select(vec!["a", "b", "-", "...", "c c", "ü"]), 1..4)
        .prop_map(|c| c.join("/"))
}

fn spec() -> impl Strategy<Value = Spec> {
    let size = prop_oneof![0usize..10, 2040usize..2060, 4090usize..4100, Just(70_000)];
    let file = (path(), size, any::<u8>(), 0u32..0o10000)
        .prop_map(|(path, size, byte, mode)| Spec { mode, ..Spec::file(&path, &vec![byte; size]) });
    prop_oneof![
        4 => file,
        3 => (path(), 0u32..0o10000).prop_map(|(path, mode)| Spec { mode, ..Spec::new(b'5', &path) }),
        1 => (path(), path()).prop_map(|(path, target)| Spec::link(b'1', &path, &target)),
        // No component of a path is ever named so: links on a path have their own tests.
        1 => (path(), "[a-z/.]{1,40}").prop_map(|(path, to)| Spec::link(b'2', &format!("{path}/link"), &to)),
        1 => path().prop_map(|path| Spec { device: (1, 3), ..Spec::new(b'3', &path) }),
        1 => path().prop_map(|path| {
            let (parent, name) = path.rsplit_once('/').unwrap_or((".", &path));
            Spec::file(format!("{parent}/.wh.{name}").trim_start_matches("./"), b"")
        }),
        1 => path().prop_map(|path| Spec::file(&format!("{path}/.wh..wh..opq"), b"")),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn a_layer_is_what_the_model_says(specs in prop::collection::vec(spec(), 0..25)) {
        let image = image_of(&Archive::of(&specs));
        let Some(model) = model(&specs) else {
            prop_assert!(image.is_err());
            return Ok(());
        };
        let files = image::files(&image.unwrap());
        prop_assert_eq!(files.keys().collect::<Vec<_>>(), model.keys().collect::<Vec<_>>());
        let mut slots = BTreeMap::new();
        for (path, expected) in &model {
            let found = &files[path];
            let kind = match expected.kind {
                b'0' => 0o100_000,
                b'5' => 0o040_000,
                b'2' => 0o120_000,
                _ => 0o020_000,
            };
            prop_assert_eq!(u32::from(found.mode), kind | expected.mode, "{}", path);
            if expected.kind == b'5' {
                let opaque = found.xattrs.contains_key("trusted.overlay.opaque");
                prop_assert_eq!(opaque, expected.opaque, "{}", path);
            } else {
                prop_assert_eq!(&found.contents, &expected.contents, "{}", path);
                prop_assert_eq!(*slots.entry(expected.made_by).or_insert(found.slot), found.slot, "{}", path);
            }
        }
    }

    #[test]
    fn sparse_files_read_as_written(
        gaps in prop::collection::vec((0u64..200_000, 1usize..9000), 1..20),
        tail in 0u64..100_000,
    ) {
        let (mut expected, mut data, mut map) = (Vec::new(), Vec::new(), String::new());
        for (i, (gap, length)) in gaps.iter().enumerate() {
            expected.resize(expected.len() + *gap as usize, 0);
            map += &format!("{}{},{length}", if i == 0 { "" } else { "," }, expected.len());
            expected.resize(expected.len() + length, i as u8 + 1);
            data.resize(data.len() + length, i as u8 + 1);
        }
        expected.resize(expected.len() + tail as usize, 0);
        let mut pax = Vec::new();
        crate::tar::archive::record(&mut pax, b"GNU.sparse.size", expected.len().to_string().as_bytes());
        crate::tar::archive::record(&mut pax, b"GNU.sparse.map", map.as_bytes());
        let mut archive = Archive::default();
        archive.block(&crate::tar::archive::header(&Spec::new(b'x', "x"), pax.len() as u64));
        archive.data(&pax);
        archive.add(&Spec::file("sparse", &data));
        archive.add(&Spec::file("after", &[9; 5000]));
        let image = image_of(&archive.end()).unwrap();
        let files = image::files(&image);
        prop_assert!(files["sparse"].contents == expected);
        prop_assert_eq!(&files["after"].contents, &[9; 5000]);
        // At most one chunk of 4 KiB more for each end of a segment.
        prop_assert!(image.len() <= data.len() + gaps.len() * 2 * 4096 + 65_536 + expected.len() / 1024 + 8 * 4096);
    }
}
