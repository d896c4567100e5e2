use bollard_stubs::models::{MountBindOptionsPropagationEnum, MountVolumeOptions};

use super::*;

fn volume(name: &str) -> Source {
    Source::Volume {
        name: name.to_owned(),
        subpath: String::new(),
        no_copy: false,
        anonymous: name.is_empty(),
    }
}

fn folder(path: &str) -> Source {
    Source::HostPath { path: path.into(), create: true }
}

#[test]
fn binds() {
    for (raw, target, source, read_only, propagation) in [
        ("/data", "/data", volume(""), false, ""),
        ("vol:/data", "/data", volume("vol"), false, ""),
        ("vol:/data/../d//", "/d", volume("vol"), false, ""),
        ("vol:/data:ro", "/data", volume("vol"), true, ""),
        ("vol:/data:rw,z", "/data", volume("vol"), false, ""),
        ("/src:/dst", "/dst", folder("/src"), false, ""),
        ("/src/./a/:/dst:ro,rshared", "/dst", folder("/src/a"), true, "rshared"),
        ("/src:/dst:Z,cached", "/dst", folder("/src"), false, ""),
        (r"C:\x:/y", "/y", folder(r"C:\x"), false, ""),
        (r"c:/x/y:/y:ro", "/y", folder("c:/x/y"), true, ""),
        (r"\\srv\share:/y", "/y", folder(r"\\srv\share"), false, ""),
    ] {
        let wanted = bind(raw, "").unwrap();
        let expected = (target, &source, read_only, propagation);
        let mount = &wanted.mount;
        assert_eq!(
            (mount.target.as_str(), &mount.source, mount.read_only, mount.propagation.as_str()),
            expected,
            "{raw}"
        );
    }
    let wanted = bind("vol:/data:nocopy", "local").unwrap();
    assert!(matches!(wanted.mount.source, Source::Volume { no_copy: true, .. }));
    assert_eq!((wanted.volume.driver.as_str(), wanted.mount.mode.as_str()), ("local", "nocopy"));
}

#[test]
fn wrong_binds_in_dockers_words() {
    for (raw, text) in [
        ("", "invalid volume specification: ''"),
        (":/a", "invalid volume specification: ':/a'"),
        ("/a:ro", "invalid volume specification: '/a:ro'"),
        ("/a:/b:ro:z", "invalid volume specification: '/a:/b:ro:z'"),
        ("/a:/b:x", "invalid mode: x"),
        ("/a:/b:ro,rw", "invalid mode: ro,rw"),
        ("/a:/b:ro,", "invalid mode: ro,"),
        (
            "foo:bar",
            "invalid volume specification: 'foo:bar': invalid mount config for type \"volume\": invalid mount \
             path: 'bar' mount path must be absolute",
        ),
        (
            "/a:/",
            "invalid volume specification: '/a:/': invalid mount config for type \"bind\": invalid \
             specification: destination can't be '/'",
        ),
        (
            "/a:/b:nocopy",
            "invalid volume specification: '/a:/b:nocopy': invalid mount config for type \"bind\": field \
             VolumeOptions must not be specified",
        ),
        (
            "vol:/b:rshared",
            "invalid volume specification: 'vol:/b:rshared': invalid mount config for type \"volume\": field \
             BindOptions must not be specified",
        ),
    ] {
        assert_eq!(bind(raw, "").unwrap_err().to_string(), text, "{raw}");
    }
}

fn asked(kind: MountType, source: &str, target: &str) -> Asked {
    Asked {
        typ: Some(kind),
        source: (!source.is_empty()).then(|| source.to_owned()),
        target: Some(target.to_owned()),
        ..Asked::default()
    }
}

#[test]
fn mounts() {
    let here = |path: &str| path == "/here";
    let options = MountBindOptions {
        propagation: Some(MountBindOptionsPropagationEnum::RSLAVE),
        non_recursive: Some(true),
        ..MountBindOptions::default()
    };
    let bind = Asked { bind_options: Some(options), ..asked(MountType::BIND, "/here", "/a/") };
    let wanted = mount(&bind, &here).unwrap().mount;
    assert_eq!(wanted.source, Source::HostPath { path: "/here".into(), create: false });
    assert_eq!((wanted.propagation.as_str(), wanted.non_recursive), ("rslave", true));
    for (read_only, not_below, all_below, expected) in [
        (true, true, false, Some(true)),
        (true, false, true, Some(false)),
        (false, false, false, Some(false)),
        (false, true, false, None),
        (false, false, true, None),
        (true, true, true, None),
    ] {
        let options = MountBindOptions {
            read_only_non_recursive: Some(not_below),
            read_only_force_recursive: Some(all_below),
            ..MountBindOptions::default()
        };
        let bind = asked(MountType::BIND, "/here", "/a");
        let bind = Asked { bind_options: Some(options), read_only: Some(read_only), ..bind };
        let found = mount(&bind, &here).ok().map(|wanted| wanted.mount.read_only_non_recursive);
        assert_eq!(found, expected, "{bind:?}");
    }
    let options = MountTmpfsOptions {
        size_bytes: Some(4096),
        mode: Some(0o1777),
        options: Some(vec![vec!["exec".to_owned()]]),
    };
    let tmpfs = Asked { tmpfs_options: Some(options), ..asked(MountType::TMPFS, "", "/t") };
    let expected = Source::Tmpfs { size_bytes: 4096, mode: 0o1777, options: vec!["exec".to_owned()] };
    assert_eq!(mount(&tmpfs, &here).unwrap().mount.source, expected);
    let options = MountVolumeOptions { subpath: Some("a/../b".to_owned()), ..MountVolumeOptions::default() };
    let volume = Asked { volume_options: Some(options), ..asked(MountType::VOLUME, "vol", "/v") };
    assert!(
        matches!(mount(&volume, &here).unwrap().mount.source, Source::Volume { subpath, .. } if subpath == "a/../b")
    );
}

#[test]
fn wrong_mounts_in_dockers_words() {
    let subpath = |path: &str| {
        Some(MountVolumeOptions { subpath: Some(path.to_owned()), ..MountVolumeOptions::default() })
    };
    for (asked, text) in [
        (asked(MountType::BIND, "/gone", "/a"), "bind source path does not exist: /gone"),
        (asked(MountType::BIND, "", "/a"), "field Source must not be empty"),
        (asked(MountType::BIND, "rel", "/a"), "invalid mount path: 'rel' mount path must be absolute"),
        (asked(MountType::BIND, "/a", ""), "field Target must not be empty"),
        (asked(MountType::TMPFS, "x", "/a"), "field Source must not be specified"),
        (
            Asked { volume_options: subpath("../x"), ..asked(MountType::VOLUME, "vol", "/a") },
            "subpath must be a relative path within the volume",
        ),
        (
            Asked { volume_options: subpath("x"), ..asked(MountType::VOLUME, "", "/a") },
            "must not set Subpath when using anonymous volumes",
        ),
        (
            Asked { read_only: Some(true), ..asked(MountType::VOLUME, "", "/a") },
            "must not set ReadOnly mode when using anonymous volumes",
        ),
        (
            Asked { bind_options: Some(MountBindOptions::default()), ..asked(MountType::VOLUME, "v", "/a") },
            "field BindOptions must not be specified",
        ),
        (Asked { target: Some("/a".to_owned()), ..Asked::default() }, "mount type unknown"),
    ] {
        let kind = asked.typ.as_ref().map(ToString::to_string).unwrap_or_default();
        let error = mount(&asked, &|_| false).unwrap_err();
        assert_eq!(error.to_string(), format!("invalid mount config for type {kind:?}: {text}"));
        assert_eq!(error.kind(), crate::ErrorKind::InvalidParameter);
    }
}

#[test]
fn others_volumes() {
    assert_eq!(volumes_from("web"), Ok(("web", None)));
    assert_eq!(volumes_from("web:ro"), Ok(("web", Some(true))));
    assert_eq!(volumes_from("web:rw,z"), Ok(("web", Some(false))));
    for (text, wrong) in [("web:x", "x"), ("web:rshared", "rshared"), ("web:nocopy", "nocopy")] {
        assert_eq!(volumes_from(text), Err(MountError::Mode(wrong.to_owned())));
    }
    assert_eq!(volumes_from(""), Err(MountError::EmptyVolumesFrom));
}
