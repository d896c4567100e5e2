//! Whiteouts, replacement, links: what becomes of entries.

use super::*;

const WHITEOUT: u16 = 0o020_000;

#[test]
fn whiteouts_and_opaque_marks() {
    let files = files_of(&[
        Spec::new(b'5', "d"),
        Spec::file("d/.wh.gone", b""),
        Spec::new(b'5', "o"),
        Spec::file("o/kept", b"k"),
        Spec::file("o/.wh..wh..opq", b""),
        Spec::file(".wh..wh.plnk", b""),
        Spec::file("new/.wh.x", b""),
    ]);
    let names: Vec<&str> = files.keys().map(String::as_str).collect();
    assert_eq!(names, ["", "d", "d/gone", "new", "new/x", "o", "o/kept"]);
    assert_eq!((files["d/gone"].mode, files["d/gone"].device), (WHITEOUT, 0));
    assert_eq!(files["o"].xattrs["trusted.overlay.opaque"], b"y");
    assert!(files["d"].xattrs.is_empty());
    assert_eq!((files["new"].mode, files["new"].uid), (0o040_755, 0));
}

#[test]
fn whiteouts_hide_nothing_of_their_own_layer() {
    for specs in [
        [Spec::file(".wh.f", b""), Spec::file("f", b"x"), Spec::file(".wh.d", b""), Spec::file("d/g", b"y")],
        [Spec::file("f", b"x"), Spec::file(".wh.f", b""), Spec::file("d/g", b"y"), Spec::file(".wh.d", b"")],
    ] {
        let files = files_of(&specs);
        assert_eq!(files["f"].contents, b"x");
        assert_eq!(files["d/g"].contents, b"y");
        assert_eq!(files["d"].xattrs["trusted.overlay.opaque"], b"y");
    }
}

#[test]
fn attributes_that_would_steer_the_guest_are_dropped() {
    let spec = Spec::file("f", b"")
        .xattr("trusted.overlay.redirect", b"/etc")
        .xattr("com.apple.quarantine", b"q")
        .xattr("user.", b"nameless")
        .xattr("security.capability", b"\x01\0\0\x02")
        .xattr("system.posix_acl_access", b"\x02\0\0\0")
        .xattr("user.empty", b"");
    let files = files_of(&[spec]);
    let names: Vec<&str> = files["f"].xattrs.keys().map(String::as_str).collect();
    assert_eq!(names, ["security.capability", "system.posix_acl_access", "user.empty"]);
    assert_eq!(files["f"].xattrs["security.capability"], b"\x01\0\0\x02");
}

#[test]
fn later_entries_replace_and_directories_merge() {
    let files = files_of(&[
        Spec::file("f", &[1; 10_000]),
        Spec::file("f", b"second"),
        Spec { mode: 0o700, ..Spec::new(b'5', "d") },
        Spec::file("d/kept", b"k"),
        Spec { mode: 0o1777, ..Spec::new(b'5', "d/") },
        Spec::file("x/y/z", b""),
        Spec::file("x", b"a file now"),
        Spec::file("was", b""),
        Spec::new(b'5', "was"),
        Spec { mode: 0o711, uid: 3, ..Spec::new(b'5', "./") },
    ]);
    let names: Vec<&str> = files.keys().map(String::as_str).collect();
    assert_eq!(names, ["", "d", "d/kept", "f", "was", "x"]);
    assert_eq!(files["f"].contents, b"second");
    assert_eq!(files["d"].mode, 0o041_777);
    assert_eq!(files["x"].contents, b"a file now");
    assert_eq!((files[""].mode, files[""].uid), (0o040_711, 3));
}

#[test]
fn hard_links_share_an_inode() {
    let files = files_of(&[
        Spec::file("a", b"data"),
        Spec::link(b'1', "d/b", "a"),
        Spec::link(b'1', "c", "./d/b"),
        Spec::link(b'1', "a", "a"),
        Spec::link(b'2', "s", "a"),
        Spec::link(b'1', "s2", "/s"),
    ]);
    assert_eq!(files["a"].slot, files["d/b"].slot);
    assert_eq!((files["c"].links, files["c"].contents.as_slice()), (3, &b"data"[..]));
    assert_eq!((files["s2"].slot, files["s2"].contents.as_slice()), (files["s"].slot, &b"a"[..]));
}

#[test]
fn a_link_outlives_the_name_it_was_made_from() {
    let files = files_of(&[Spec::file("a", b"old"), Spec::link(b'1', "b", "a"), Spec::file("a", b"new")]);
    assert_eq!((files["a"].contents.as_slice(), files["b"].contents.as_slice()), (&b"new"[..], &b"old"[..]));
    assert_eq!((files["a"].links, files["b"].links), (1, 1));
}

#[test]
fn symbolic_links_on_a_path_stay_inside() {
    let files = files_of(&[
        Spec::new(b'5', "usr/lib"),
        Spec::link(b'2', "lib", "usr/lib"),
        Spec::file("lib/libc.so", b"c"),
        Spec::link(b'2', "out", "../../../../etc"),
        Spec::file("out/passwd", b"p"),
        Spec::link(b'2', "abs", "/usr/./lib"),
        Spec::file("abs/libm.so", b"m"),
        Spec::link(b'2', "usr/up", ".."),
        Spec::file("usr/up/top", b"t"),
        Spec::link(b'1', "hard", "lib/libc.so"),
    ]);
    for (path, contents) in [
        ("usr/lib/libc.so", b"c"),
        ("etc/passwd", b"p"),
        ("usr/lib/libm.so", b"m"),
        ("top", b"t"),
        ("hard", b"c"),
    ] {
        assert_eq!(files[path].contents, contents, "{path}");
    }
    assert_eq!(files["lib"].contents, b"usr/lib");
}

#[test]
fn all_kinds_and_owners() {
    let specs = [
        Spec { device: (5, 0x12345), mode: 0o660, ..Spec::new(b'3', "tty") },
        Spec { device: (8, 1), ..Spec::new(b'4', "sda1") },
        Spec { uid: u32::MAX, gid: 70_000, mtime: (-3, 7), ..Spec::new(b'6', "fifo") },
        Spec { mode: 0o6755, ..Spec::file("suid", b"") },
        Spec::link(b'2', "long", &"t/".repeat(2000)),
    ];
    let files = files_of(&specs);
    assert_eq!((files["tty"].mode, files["tty"].device), (0o020_660, 0x1230_0545));
    assert_eq!((files["sda1"].mode, files["sda1"].device), (0o060_644, 0x801));
    let fifo = &files["fifo"];
    assert_eq!((fifo.mode, fifo.uid, fifo.gid, fifo.mtime), (0o010_644, u32::MAX, 70_000, (-3, 7)));
    assert_eq!(files["suid"].mode, 0o106_755);
    assert_eq!(files["long"].contents, "t/".repeat(2000).as_bytes());
}

#[test]
fn large_directories_and_names() {
    let mut specs: Vec<Spec> =
        (0..2000).map(|i| Spec::file(&format!("d/{i:0width$}", width = i % 250 + 4), b"")).collect();
    specs.push(Spec::file(&format!("d/{}", "n".repeat(255)), b"x"));
    specs.push(Spec::file("d/-before-dot", b"x"));
    let files = files_of(&specs);
    assert_eq!(files.len(), 2004);
}

#[test]
fn an_empty_archive_is_an_empty_root() {
    let files = files_of(&[]);
    assert_eq!(files.len(), 1);
    assert_eq!((files[""].mode, files[""].links, files[""].mtime), (0o040_755, 2, (0, 0)));
}
