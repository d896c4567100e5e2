//! All that a creation says of mounts, by Docker's precedence: `VolumesFrom`, over it `Binds`, over it `Mounts`;
//! then a volume for each place of `Volumes` (the image's too) that nothing else is mounted at.

use std::collections::{BTreeMap, HashSet};

use bollard_stubs::models::{ContainerConfig, HostConfig};

use super::error::{Fault, MountError};
use super::parse::{self, NewVolume, Wanted};
use super::{Mount, Source};
use crate::error::Error;

/// What the plan must know of the world.
pub(crate) trait World {
    /// The mounts of a container.
    fn mounts_of(&self, container: &str) -> Result<Vec<Mount>, Error>;
    /// Whether the host has this file or folder.
    fn exists(&self, path: &str) -> bool;
}

/// The mounts, by target.
pub(crate) fn plan(
    config: &ContainerConfig,
    host: &HostConfig,
    world: &dyn World,
) -> Result<Vec<Wanted>, Error> {
    let driver = host.volume_driver.as_deref().unwrap_or_default();
    let mut wanted: BTreeMap<String, Wanted> = BTreeMap::new();
    for text in host.volumes_from.iter().flatten() {
        let (container, read_only) = parse::volumes_from(text)?;
        for mut mount in world.mounts_of(container)? {
            mount.read_only |= read_only.unwrap_or(false);
            if let Source::Volume { no_copy, .. } = &mut mount.source {
                *no_copy = true;
            }
            wanted.insert(mount.target.clone(), Wanted { mount, volume: NewVolume::default() });
        }
    }
    let tmpfs: HashSet<String> =
        host.tmpfs.iter().flatten().map(|(target, _)| parse::clean(target)).collect();
    let mut taken = HashSet::new();
    for raw in host.binds.iter().flatten() {
        let bind = parse::bind(raw, driver)?;
        let target = bind.mount.target.clone();
        if tmpfs.contains(&target) || !taken.insert(target.clone()) {
            return Err(MountError::Duplicate(target).into());
        }
        wanted.insert(target, bind);
    }
    for asked in host.mounts.iter().flatten() {
        let mount = parse::mount(asked, &|path| world.exists(path))?;
        let target = mount.mount.target.clone();
        if tmpfs.contains(&target) || !taken.insert(target.clone()) {
            return Err(MountError::Duplicate(target).into());
        }
        wanted.insert(target, mount);
    }
    for place in config.volumes.iter().flatten() {
        let target = parse::clean(place);
        if target == "/" {
            return Err(MountError::Config { kind: "volume".to_owned(), fault: Fault::Root }.into());
        }
        if !tmpfs.contains(&target) {
            wanted.entry(target.clone()).or_insert_with(|| anonymous(target, driver));
        }
    }
    Ok(wanted.into_values().collect())
}

fn anonymous(target: String, driver: &str) -> Wanted {
    let mount = Mount {
        target,
        source: Source::Volume {
            name: String::new(),
            subpath: String::new(),
            no_copy: false,
            anonymous: true,
        },
        read_only: false,
        propagation: String::new(),
        non_recursive: false,
        read_only_non_recursive: false,
        mode: String::new(),
    };
    Wanted { mount, volume: NewVolume { driver: driver.to_owned(), ..NewVolume::default() } }
}

#[cfg(test)]
mod tests {
    use bollard_stubs::models::{Mount as Asked, MountType};

    use super::*;

    struct Other(Vec<Mount>);

    impl World for Other {
        fn mounts_of(&self, container: &str) -> Result<Vec<Mount>, Error> {
            if container == "other" {
                return Ok(self.0.clone());
            }
            Err(Error::NoSuchContainer(container.to_owned()))
        }

        fn exists(&self, _: &str) -> bool {
            true
        }
    }

    fn own(words: &[&str]) -> Option<Vec<String>> {
        Some(words.iter().map(ToString::to_string).collect())
    }

    fn other() -> Other {
        let binds = ["a:/a", "b:/b", "/src:/c"];
        Other(binds.iter().map(|raw| parse::bind(raw, "").unwrap().mount).collect())
    }

    fn name(wanted: &Wanted) -> &str {
        match &wanted.mount.source {
            Source::Volume { name, .. } => name,
            Source::HostPath { path, .. } => path.to_str().unwrap(),
            Source::Tmpfs { .. } => "tmpfs",
        }
    }

    #[test]
    fn later_ones_win_and_image_volumes_fill_the_rest() {
        let volume = Asked {
            typ: Some(MountType::VOLUME),
            source: Some("m".into()),
            target: Some("/b".into()),
            ..Asked::default()
        };
        let host = HostConfig {
            volumes_from: own(&["other:ro"]),
            binds: own(&["x:/a"]),
            mounts: Some(vec![volume]),
            tmpfs: Some([("/t".to_owned(), String::new())].into()),
            ..HostConfig::default()
        };
        let config =
            ContainerConfig { volumes: own(&["/a/", "/data", "/t", "/c"]), ..ContainerConfig::default() };
        let planned = plan(&config, &host, &other()).unwrap();
        let seen: Vec<_> =
            planned.iter().map(|w| (w.mount.target.as_str(), name(w), w.mount.read_only)).collect();
        let expected = [("/a", "x", false), ("/b", "m", false), ("/c", "/src", true), ("/data", "", false)];
        assert_eq!(seen, expected);
    }

    #[test]
    fn two_at_one_place_are_refused() {
        let volume = Asked { typ: Some(MountType::VOLUME), target: Some("/a".into()), ..Asked::default() };
        let tmpfs = || Some([("/a".to_owned(), String::new())].into());
        for host in [
            HostConfig { binds: own(&["x:/a", "y:/a/."]), ..HostConfig::default() },
            HostConfig { binds: own(&["x:/a"]), tmpfs: tmpfs(), ..HostConfig::default() },
            HostConfig { binds: own(&["x:/a"]), mounts: Some(vec![volume]), ..HostConfig::default() },
        ] {
            let error = plan(&ContainerConfig::default(), &host, &other()).unwrap_err();
            assert_eq!(error.to_string(), "Duplicate mount point: /a");
        }
        let host = HostConfig { volumes_from: own(&["gone"]), ..HostConfig::default() };
        assert!(matches!(plan(&ContainerConfig::default(), &host, &other()), Err(Error::NoSuchContainer(_))));
    }
}
