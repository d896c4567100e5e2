//! Small images, layer by layer, against what overlayfs would show.

use std::ops::ControlFlow;

use tokio_util::sync::CancellationToken;
use types::Digest;

use super::*;
use crate::Layer;
use crate::erofs::read::FileType;
use crate::erofs::{Limits, write_layer};
use crate::layer_disk::LayerDisk;
use crate::tar::archive::{Archive, Spec};

struct Disk {
    disk: LayerDisk,
    _folder: tempfile::TempDir,
}

impl Disk {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let disk = LayerDisk::open(&folder.path().join("layers.raw"), &[]).unwrap();
        Self { disk, _folder: folder }
    }

    fn layer(&self, specs: &[Spec]) -> Layer {
        self.layer_of(&Archive::of(specs))
    }

    fn layer_of(&self, tar: &[u8]) -> Layer {
        let written = write_layer(tar, self.disk.writer(), &Limits::default()).unwrap();
        Layer {
            diff_id: written.diff_id,
            digest: Digest::of(tar),
            media_type: String::new(),
            blob_bytes: 0,
            size_bytes: written.tar_bytes,
            extents: written.extents,
        }
    }

    fn tree(&self, layers: &[&[Spec]]) -> Tree {
        let layers: Vec<_> = layers.iter().map(|specs| self.layer(specs)).collect();
        Tree::open(&self.disk, &layers, None).unwrap()
    }
}

fn names(tree: &Tree, path: &str) -> Vec<String> {
    let listing = Listing { path: path.into(), limit: 1000, ..Listing::default() };
    let entries = tree.list(&listing).unwrap().entries;
    entries.iter().map(|e| format!("{}@{}", String::from_utf8_lossy(&e.name), e.layer)).collect()
}

fn stat(tree: &Tree, path: &str) -> Result<Listed, BrowseError> {
    tree.list(&Listing { path: path.into(), ..Listing::default() })
}

fn dir(path: &str) -> Spec {
    Spec { mode: 0o755, ..Spec::new(b'5', path) }
}

const NOBODY: &[Spec] = &[];

fn three() -> [Vec<Spec>; 3] {
    [
        vec![
            dir("etc"),
            Spec::file("etc/a", b"lower a"),
            Spec::file("etc/b", b"lower b"),
            Spec::file("etc/sub/deep", b"12345"),
            Spec::file("opt/x", b"xxx"),
            Spec::file("opt/y", b"yy"),
            Spec::file("file", b"a file"),
            dir("dir"),
            Spec::file("dir/below", b"below"),
            Spec::link(b'2', "link", "/etc/sub"),
            Spec::link(b'2', "up", "../../etc/../file"),
            Spec::link(b'2', "round", "round"),
        ],
        vec![
            Spec::file("etc/a", b"upper a!"),
            Spec::file("etc/.wh.b", b""),
            Spec::file("opt/.wh..wh..opq", b""),
            Spec::file("opt/new", b"n"),
            Spec::file("file/now-a-directory", b"1"),
            Spec::file("dir", b"a file now"),
        ],
        vec![Spec { mode: 0o700, ..dir("etc") }, Spec::file("etc/.wh.sub", b"")],
    ]
}

#[test]
fn layers_merge_as_overlayfs_does() {
    let disk = Disk::new();
    let [one, two, three] = three();
    let tree = disk.tree(&[&one, &two, &three]);
    assert_eq!(names(&tree, "/"), ["dir@1", "etc@2", "file@1", "link@0", "opt@1", "round@0", "up@0"]);
    assert_eq!(names(&tree, "/etc/"), ["a@1"]);
    assert_eq!(names(&tree, "opt"), ["new@1"]);
    assert_eq!(names(&tree, "file"), ["now-a-directory@1"]);
    let etc = stat(&tree, "/etc").unwrap().entry;
    assert_eq!((etc.mode, etc.entry_type), (0o700, EntryType::File(FileType::Directory)));
    for gone in ["/etc/b", "/etc/sub", "/etc/sub/deep", "/opt/x", "/dir/../nothing"] {
        let error = stat(&tree, gone).map(drop).unwrap_err();
        assert!(
            matches!(&error, BrowseError::NotFound(path) if path == gone) || gone.contains(".."),
            "{error}"
        );
    }
    assert!(matches!(stat(&tree, "/dir/below"), Err(BrowseError::NotADirectory(_))));
    // Two layers alone: the one above has not deleted it yet.
    let tree = disk.tree(&[&one, &two]);
    assert_eq!(names(&tree, "etc"), ["a@1", "sub@0"]);
    assert_eq!(names(&tree, "/link/"), ["deep@0"]);
}

#[test]
fn one_layer_shows_its_marks() {
    let disk = Disk::new();
    let [one, two, _] = three();
    let layers = [disk.layer(&one), disk.layer(&two)];
    let tree = Tree::open(&disk.disk, &layers, Some(1)).unwrap();
    let listing = Listing { path: b"etc".into(), limit: 10, ..Listing::default() };
    let entries = tree.list(&listing).unwrap().entries;
    let kinds: Vec<_> = entries.iter().map(|e| (&*e.name, e.entry_type)).collect();
    assert_eq!(kinds, [(&b"a"[..], EntryType::File(FileType::File)), (b"b", EntryType::Whiteout)]);
    let opt = stat(&tree, "opt").unwrap().entry;
    assert!(opt.opaque && opt.xattrs.is_empty());
    let refused = Tree::open(&disk.disk, &layers, Some(2)).map(drop).unwrap_err();
    assert!(matches!(refused, BrowseError::NoSuchLayer { layer: 2, count: 2 }));
}

/// The entries of a tar, as another reader has them.
fn packed(tree: &Tree, path: &str) -> Vec<(String, ::tar::EntryType, String)> {
    let mut bytes = Vec::new();
    tree.write_tar(path.as_bytes(), &mut bytes).unwrap();
    let mut archive = ::tar::Archive::new(&bytes[..]);
    let read = archive.entries().unwrap().map(|entry| {
        let mut entry = entry.unwrap();
        let path = entry.path().unwrap().to_str().unwrap().to_owned();
        let mut text =
            entry.link_name().unwrap().map_or_else(String::new, |to| to.to_str().unwrap().to_owned());
        std::io::Read::read_to_string(&mut entry, &mut text).unwrap();
        (path, entry.header().entry_type(), text)
    });
    read.collect()
}

#[test]
fn a_folder_is_packed_as_it_is_shown() {
    use ::tar::EntryType::{Directory, Link, Regular, Symlink};
    let disk = Disk::new();
    let [one, two, three] = three();
    let named = |packed: Vec<(String, ::tar::EntryType, String)>| {
        packed.into_iter().map(|(path, ..)| path).collect::<Vec<_>>()
    };
    let tree = disk.tree(&[&one, &two, &three]);
    let text = |text: &str| text.to_owned();
    let etc = [(text("etc/"), Directory, text("")), (text("etc/a"), Regular, text("upper a!"))];
    assert_eq!(packed(&tree, "/etc"), etc);
    // A file by a link on the way; a link itself; the whole.
    let tree = disk.tree(&[&one]);
    assert_eq!(packed(&tree, "/link/deep"), [(text("deep"), Regular, text("12345"))]);
    assert_eq!(packed(&tree, "/link"), [(text("link"), Symlink, text("/etc/sub"))]);
    assert_eq!(packed(&tree, "/").len(), 15);
    assert!(matches!(tree.write_tar(b"/none", Vec::new()), Err(BrowseError::NotFound(_))));
    assert!(matches!(tree.write_tar(b"/etc", &mut [0; 600][..]), Err(BrowseError::Cancelled)));
    // A layer alone has its marks.
    let layers = [disk.layer(&one), disk.layer(&two)];
    let alone = Tree::open(&disk.disk, &layers, Some(1)).unwrap();
    assert_eq!(named(packed(&alone, "/etc")), ["etc/", "etc/a", "etc/.wh.b"]);
    assert_eq!(named(packed(&alone, "/opt")), ["opt/", "opt/.wh..wh..opq", "opt/new"]);
    // Long and foreign names, hard links, attributes.
    let long = format!("d/{}/{}", "n".repeat(90), "m".repeat(120));
    let tagged = Spec::file(&long, b"far down").xattr("user.tag", b"v");
    let tree = disk.tree(&[&[tagged, Spec::link(b'1', "d/\u{e4}", &long), Spec::file("d/z", b"")]]);
    let long_folder = format!("d/{}/", "n".repeat(90));
    assert_eq!(
        packed(&tree, "/d"),
        [
            (text("d/"), Directory, text("")),
            (long_folder, Directory, text("")),
            (long.clone(), Regular, text("far down")),
            (text("d/z"), Regular, text("")),
            (text("d/\u{e4}"), Link, long),
        ]
    );
}

#[test]
fn symbolic_links_stay_inside() {
    let disk = Disk::new();
    let [one, ..] = three();
    let tree = disk.tree(&[&one]);
    let link = stat(&tree, "link").unwrap();
    assert_eq!(link.entry.target.as_deref(), Some(&b"/etc/sub"[..]));
    assert_eq!(stat(&tree, "link/").unwrap().path, b"/etc/sub");
    assert_eq!(stat(&tree, "link/../sub/deep").unwrap().path, b"/etc/sub/deep");
    assert_eq!(stat(&tree, "/../../etc/./a").unwrap().path, b"/etc/a");
    let followed = tree.list(&Listing { path: b"up".into(), follow: true, ..Listing::default() });
    assert_eq!(followed.unwrap().path, b"/file");
    assert!(matches!(stat(&tree, "round/x"), Err(BrowseError::Loop(_))));
    assert!(matches!(stat(&tree, "round/"), Err(BrowseError::Loop(_))));
    assert!(stat(&tree, "round").is_ok());
    assert!(matches!(stat(&tree, "/etc/a/x"), Err(BrowseError::NotADirectory(_))));
    assert!(matches!(stat(&tree, "/etc/a/"), Err(BrowseError::NotADirectory(_))));
    assert!(matches!(stat(&tree, &"x/".repeat(3000)), Err(BrowseError::TooLong(_))));
}

#[test]
fn links_that_grow_cost_no_hours() {
    let disk = Disk::new();
    // Each link leads twice through the one before.
    let mut specs = vec![dir("l0")];
    specs.extend((1..40).map(|i| {
        let before = format!("l{}", i - 1);
        Spec::link(b'2', &format!("l{i}"), &format!("{before}/../{before}/../").repeat(20))
    }));
    let tree = disk.tree(&[&specs]);
    assert!(matches!(stat(&tree, "l39/x"), Err(BrowseError::Loop(_))));
}

#[test]
fn pages_make_the_whole() {
    let disk = Disk::new();
    let file = |i: usize| Spec::file(&format!("d/{i:04}"), b"x");
    let lower: Vec<_> = (0..900).step_by(2).map(file).collect();
    let mut upper: Vec<_> = (0..900).step_by(3).map(file).collect();
    upper.extend(
        (0..900).step_by(10).filter(|i| i % 3 != 0).map(|i| Spec::file(&format!("d/.wh.{i:04}"), b"")),
    );
    let tree = disk.tree(&[&lower, &upper]);
    let expected: Vec<_> = (0..900usize)
        .filter(|i| i % 3 == 0 || (i % 2 == 0 && i % 10 != 0))
        .map(|i| format!("{i:04}@{}", usize::from(i % 3 == 0)))
        .collect();
    assert_eq!(names(&tree, "d"), expected);
    let (mut found, mut after) = (Vec::new(), None);
    loop {
        let listing = Listing { path: b"d".into(), after: after.clone(), limit: 7, follow: false };
        let page = tree.list(&listing).unwrap();
        assert!(page.entries.len() <= 7);
        found
            .extend(page.entries.iter().map(|e| format!("{}@{}", String::from_utf8_lossy(&e.name), e.layer)));
        match page.next {
            Some(next) => after = Some(next.into_vec()),
            None => break,
        }
    }
    assert_eq!(found, expected);
}

#[test]
fn contents_come_from_the_right_layer() {
    let disk = Disk::new();
    let big: Vec<u8> = (0..200_000u32).map(|i| (i % 251) as u8).collect();
    let layers = [
        disk.layer(&[Spec::file("f", b"lower"), Spec::link(b'2', "l", "f")]),
        disk.layer(&[Spec::file("f", &big)]),
    ];
    let tree = |only| Tree::open(&disk.disk, &layers, only).unwrap();
    let upper = tree(None).into_file(b"l").unwrap();
    assert_eq!((upper.size_bytes(), upper.layer()), (200_000, 1));
    let mut piece = vec![0; 5000];
    assert_eq!(upper.read(199_000, &mut piece).unwrap(), 1000);
    assert_eq!(piece[..1000], big[199_000..]);
    assert_eq!(upper.read(200_000, &mut piece).unwrap(), 0);
    let lower = tree(Some(0)).into_file(b"f").unwrap();
    assert_eq!((lower.size_bytes(), lower.layer()), (5, 0));
    assert_ne!(lower.tag(), upper.tag());
    assert_eq!(upper.tag(), tree(Some(1)).into_file(b"f").unwrap().tag());
    assert!(matches!(tree(None).into_file(b"/"), Err(BrowseError::NotAFile(_))));
}

#[test]
fn what_later_layers_hide_is_wasted() {
    let disk = Disk::new();
    let [one, two, three] = three();
    let usage = disk.tree(&[&one, &two, &three]).usage().unwrap();
    let bytes: Vec<_> = usage.layers.iter().map(|l| (l.content_bytes, l.wasted_bytes)).collect();
    // Of the lowest: a 7, b 7, deep 5, x 3, y 2, file 6, below 5, all of them hidden.
    assert_eq!(bytes, [(35, 35), (20, 0), (0, 0)]);
    assert_eq!((usage.content_bytes, usage.wasted_bytes), (55, 35));
    assert!((usage.efficiency() - 20.0 / 55.0).abs() < 1e-9);
    let lowest = &usage.layers[0];
    assert_eq!((lowest.files, lowest.directories, lowest.symlinks), (7, 5, 3));
    assert_eq!((usage.layers[1].whiteouts, usage.layers[2].whiteouts), (1, 1));
    let wasted: Vec<_> = usage
        .wasted
        .iter()
        .map(|w| (String::from_utf8_lossy(&w.path).into_owned(), w.bytes, w.hidden_by))
        .collect();
    let expected = [
        ("/etc/b", 7, 1),
        ("/etc/a", 7, 1),
        ("/file", 6, 1),
        ("/opt", 5, 1),
        ("/etc/sub", 5, 2),
        ("/dir", 5, 1),
    ];
    let mut found: Vec<_> = wasted.iter().map(|(path, bytes, by)| (path.as_str(), *bytes, *by)).collect();
    assert!(found.is_sorted_by_key(|(_, bytes, _)| std::cmp::Reverse(*bytes)));
    found.sort_unstable();
    let mut expected = expected.to_vec();
    // An opaque directory hides its names one by one: it is a directory on both sides.
    expected.retain(|(path, ..)| *path != "/opt");
    expected.push(("/opt", 5, 1));
    expected.sort_unstable();
    assert_eq!(found, expected);
}

#[test]
fn hard_links_are_wasted_with_their_last_name() {
    let disk = Disk::new();
    let lower = [Spec::file("a", &[1; 9000]), Spec::link(b'1', "b", "a"), Spec::link(b'1', "c", "a")];
    let usage = disk.tree(&[&lower, &[Spec::file(".wh.a", b""), Spec::file("c", b"z")]]).usage().unwrap();
    assert_eq!((usage.content_bytes, usage.wasted_bytes), (9001, 0));
    assert_eq!((usage.layers[0].files, usage.layers[0].hard_links), (1, 2));
    let all = [Spec::file(".wh.a", b""), Spec::file(".wh.b", b""), Spec::file("c", b"z")];
    let usage = disk.tree(&[&lower, &all]).usage().unwrap();
    assert_eq!(
        (usage.wasted_bytes, usage.wasted[0].bytes, usage.wasted[0].path.as_slice()),
        (9000, 9000, &b"/a"[..])
    );
    assert_eq!(disk.tree(&[NOBODY]).usage().unwrap().efficiency(), 1.0);
}

fn differences(a: &Tree, b: &Tree) -> Vec<String> {
    let mut found = Vec::new();
    diff(a, b, None, &CancellationToken::new(), |change| {
        found.push(text(&change));
        ControlFlow::Continue(())
    })
    .unwrap();
    found
}

fn text(change: &Change) -> String {
    let kind = match (&change.before, &change.after) {
        (None, _) => 'A',
        (_, None) => 'D',
        _ => 'C',
    };
    format!("{kind} {} {:?}", String::from_utf8_lossy(&change.path), change.fields)
}

#[test]
fn differences_are_told_by_what_differs() {
    let disk = Disk::new();
    let common = vec![
        dir("same"),
        Spec::file("same/file", b"s"),
        Spec::file("d/one", b"1"),
        Spec::file("d/two", b"2"),
    ];
    let a = [
        Spec::file("content", b"aaaa"),
        Spec::file("size", b"a"),
        Spec { mode: 0o600, uid: 1, ..Spec::file("owner", b"x") },
        Spec { mtime: (5, 1), ..Spec::file("time", b"t") },
        Spec::file("xattr", b"").xattr("user.a", b"1"),
        Spec::link(b'2', "target", "a"),
        Spec::file("type/below", b""),
        Spec { device: (1, 3), ..Spec::new(b'3', "device") },
        Spec::file("equal", b"rewritten alike"),
        Spec::file("gone", b""),
    ];
    let b = [
        Spec::file("content", b"aaab"),
        Spec::file("size", b"ab"),
        Spec { mode: 0o644, uid: 2, ..Spec::file("owner", b"x") },
        Spec { mtime: (5, 2), ..Spec::file("time", b"t") },
        Spec::file("xattr", b"").xattr("user.a", b"2"),
        Spec::link(b'2', "target", "b"),
        Spec::file("type", b""),
        Spec { device: (1, 5), ..Spec::new(b'3', "device") },
        Spec::file("equal", b"rewritten alike"),
        Spec::file("d/.wh.one", b""),
        Spec::file("new/er", b""),
    ];
    let (a, b) = (disk.tree(&[&common, &a]), disk.tree(&[&common, &b]));
    let mut found = differences(&a, &b);
    // Directories that an archive does not name are made at the epoch.
    found.retain(|line| !line.starts_with("C / ") && !line.starts_with("C /d "));
    assert_eq!(
        found,
        [
            "C /content [Content]",
            "D /d/one []",
            "C /device [Device]",
            "D /gone []",
            "A /new []",
            "A /new/er []",
            "C /owner [Mode, Owner]",
            "C /size [Size, Content]",
            "C /target [Target]",
            "C /time [Time]",
            "C /type [Type, Mode, Time]",
            "D /type/below []",
            "C /xattr [Xattrs]",
        ]
    );
    assert!(differences(&a, &a).is_empty());
}

#[test]
fn a_comparison_goes_on_where_it_stopped() {
    let disk = Disk::new();
    let a =
        [Spec::file("a/x/1", b""), Spec::file("a/y", b""), Spec::file("b", b"1"), Spec::file("c/d/e", b"")];
    let b = [
        Spec::file("a/x/1", b"!"),
        Spec::file("a/x/2", b""),
        Spec::file("a/z", b""),
        Spec::file("b/was/file", b"1"),
        Spec::file("d", b""),
    ];
    let (a, b) = (disk.tree(&[&a]), disk.tree(&[&b]));
    let all = differences(&a, &b);
    assert!(all.len() > 9, "{all:?}");
    for size in 1..4 {
        let (mut found, mut resume) = (Vec::new(), None::<Vec<u8>>);
        loop {
            let before = found.len();
            let from = resume.clone();
            diff(&a, &b, from.as_deref(), &CancellationToken::new(), |change| {
                if found.len() == before + size {
                    return ControlFlow::Break(());
                }
                resume = Some(change.path.clone());
                found.push(text(&change));
                ControlFlow::Continue(())
            })
            .unwrap();
            if found.len() == before {
                break;
            }
        }
        assert_eq!(found, all, "pages of {size}");
    }
}

#[test]
fn common_layers_are_not_read() {
    let disk = Disk::new();
    let base: Vec<_> = (0..200).map(|i| Spec::file(&format!("d{}/{i}", i % 7), b"x")).collect();
    let a = disk.layer(&base);
    let b = disk.layer(&[Spec::file("new", b"")]);
    let (one, two) = (
        Tree::open(&disk.disk, std::slice::from_ref(&a), None).unwrap(),
        Tree::open(&disk.disk, &[a.clone(), b], None).unwrap(),
    );
    let found = differences(&one, &two);
    assert_eq!(found, ["A /new []"]);
    let cancelled = CancellationToken::new();
    cancelled.cancel();
    let ended = diff(&one, &two, None, &cancelled, |_| ControlFlow::Continue(()));
    assert!(matches!(ended, Err(BrowseError::Cancelled)));
}
