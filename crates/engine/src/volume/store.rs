//! Which volumes there are and who uses them.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use agent_proto::v1;
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;
use types::ContainerId;

use super::disks::new_serial;
use super::error::VolumeError;
use super::local::{Local, check_name, check_options};
use super::{ANONYMOUS, Home, IN_OWN_VM, LOCAL, Volume};
use crate::agent::{QUICK, call};
use crate::db::{Db, Kind};
use crate::error::Error;
use crate::mounts::{Mount, NewVolume, Source, Wanted};
use crate::record::Record;
use crate::time::now_unix_ns;

/// As the database holds it: a volume, or what removed ones of its name have left, or both.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    volume: Option<Volume>,
    /// The guest has yet to remove a folder.
    stale: bool,
    /// Disks that are yet to be removed.
    #[serde(default)]
    discarded: Vec<String>,
}

impl Row {
    fn is_empty(&self) -> bool {
        self.volume.is_none() && !self.stale && self.discarded.is_empty()
    }
}

#[derive(Default)]
struct Table {
    rows: BTreeMap<String, Row>,
    users: HashMap<String, BTreeSet<ContainerId>>,
    unreadable: HashSet<String>,
}

/// All volumes.
pub(crate) struct Volumes {
    db: Db,
    /// Held until a change is stored.
    table: Mutex<Table>,
    /// Held while the guest removes a folder: whoever wants to use that name waits.
    digging: Mutex<()>,
}

/// What a creation did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Made {
    pub(crate) volume: Volume,
    /// It was not there before.
    pub(crate) new: bool,
}

impl Volumes {
    /// From what the database holds.
    pub(crate) fn load(db: Db, rows: Vec<(String, Vec<u8>)>, records: &[Record]) -> Self {
        let mut table = Table::default();
        for (name, json) in rows {
            match serde_json::from_slice(&json) {
                Ok(row) => drop(table.rows.insert(name, row)),
                Err(cause) => {
                    tracing::error!(volume = name, %cause, "a volume's record is unreadable");
                    table.unreadable.insert(name);
                }
            }
        }
        for record in records {
            for name in names(&record.mounts) {
                table.users.entry(name.to_owned()).or_default().insert(record.id.clone());
            }
        }
        Self { db, table: Mutex::new(table), digging: Mutex::new(()) }
    }

    /// Makes a volume, or finds the one of that name. An empty name is anybody's: the volume is then anonymous.
    pub(crate) async fn create(&self, name: &str, wanted: &NewVolume) -> Result<Made, Error> {
        let mut table = self.table.lock().await;
        self.create_in(&mut table, name, wanted).await
    }

    async fn create_in(&self, table: &mut Table, name: &str, wanted: &NewVolume) -> Result<Made, Error> {
        let anonymous = name.is_empty();
        let name = if anonymous { ContainerId::random().to_string() } else { name.to_owned() };
        if !matches!(wanted.driver.as_str(), "" | "default" | LOCAL) {
            return Err(VolumeError::Driver { name, driver: wanted.driver.clone() }.into());
        }
        if table.unreadable.contains(&name) {
            return Err(VolumeError::Unreadable(name).into());
        }
        let known = table.rows.get(&name).cloned().unwrap_or_default();
        if let Some(volume) = known.volume {
            return Ok(Made { volume, new: false });
        }
        check_name(&name)?;
        let local = check_options(&name, &wanted.options)?;
        let mut labels = wanted.labels.clone();
        if anonymous {
            labels.insert(ANONYMOUS.to_owned(), String::new());
        }
        let created_unix_ns = now_unix_ns();
        let home = match local {
            Local::Disk => Home::Disk(new_serial()),
            _ => Home::Nowhere,
        };
        let volume =
            Volume { name: name.clone(), created_unix_ns, labels, options: wanted.options.clone(), home };
        self.keep(table, &name, Row { volume: Some(volume.clone()), ..known }).await?;
        Ok(Made { volume, new: true })
    }

    /// Makes what a container needs and notes that it uses it. The volumes that are new come along.
    pub(crate) async fn acquire(
        &self,
        container: &ContainerId,
        has_own_vm: bool,
        wanted: Vec<Wanted>,
    ) -> Result<(Vec<Mount>, Vec<Volume>), Error> {
        let mut table = self.table.lock().await;
        let (mut mounts, mut new) = (Vec::new(), Vec::new());
        for Wanted { mut mount, volume } in wanted {
            if let Source::Volume { name, .. } = &mut mount.source {
                let made = match self.create_in(&mut table, name, &volume).await {
                    Ok(made) => self.settle(&mut table, &made, has_own_vm).await.map(|()| made),
                    Err(error) => Err(error),
                };
                match made {
                    Ok(made) => {
                        name.clone_from(&made.volume.name);
                        let users = table.users.entry(name.clone()).or_default();
                        users.insert(container.clone());
                        if made.new {
                            new.push(made.volume);
                        }
                    }
                    Err(error) => {
                        forget_user(&mut table, &mounts, container);
                        for volume in new.iter().filter(|volume| volume.is_anonymous()) {
                            self.delete_row(&mut table, &volume.name).await?;
                        }
                        return Err(error);
                    }
                }
            }
            mounts.push(mount);
        }
        Ok((mounts, new))
    }

    /// Decides where the volume lies that a container is created with.
    async fn settle(&self, table: &mut Table, made: &Made, has_own_vm: bool) -> Result<(), Error> {
        let home = home(&made.volume, made.new, has_own_vm)?;
        let name = &made.volume.name;
        let Some(row) = table.rows.get(name).filter(|_| home != made.volume.home).cloned() else {
            return Ok(());
        };
        let volume = Volume { home, ..made.volume.clone() };
        self.keep(table, name, Row { volume: Some(volume), ..row }).await
    }

    /// Something is to be written into it without a container: where nothing was decided yet, it lies in the VM that
    /// containers share from then on.
    pub(crate) async fn written(&self, name: &str) -> Result<(), Error> {
        let mut table = self.table.lock().await;
        let volume = table.rows.get(name).and_then(|row| row.volume.clone());
        let volume = volume.ok_or_else(|| VolumeError::NotFound(name.to_owned()))?;
        match volume.home {
            Home::Nowhere => self.settle(&mut table, &Made { volume, new: false }, false).await,
            _ => Ok(()),
        }
    }

    /// The container is gone.
    pub(crate) async fn release(&self, record: &Record) {
        forget_user(&mut *self.table.lock().await, &record.mounts, &record.id);
    }

    /// By name.
    pub(crate) async fn get(&self, name: &str) -> Result<Volume, VolumeError> {
        let table = self.table.lock().await;
        let volume = table.rows.get(name).and_then(|row| row.volume.clone());
        volume.ok_or_else(|| VolumeError::NotFound(name.to_owned()))
    }

    /// All, by name, each with how many containers use it.
    pub(crate) async fn all(&self) -> Vec<(Volume, usize)> {
        let table = self.table.lock().await;
        let volumes = table.rows.values().filter_map(|row| row.volume.clone());
        let users = |volume: &Volume| table.users.get(&volume.name).map_or(0, BTreeSet::len);
        volumes.map(|volume| (users(&volume), volume)).map(|(users, volume)| (volume, users)).collect()
    }

    /// The volumes that are disks: names and serials.
    pub(crate) async fn disks(&self) -> Vec<(String, String)> {
        let table = self.table.lock().await;
        let volumes = table.rows.values().filter_map(|row| row.volume.as_ref());
        volumes.filter_map(|volume| Some((volume.name.clone(), volume.disk()?.to_owned()))).collect()
    }

    /// Disks of removed volumes, with these volumes' names.
    pub(crate) async fn discarded(&self) -> Vec<(String, String)> {
        let table = self.table.lock().await;
        let of = |(name, row): (&String, &Row)| {
            row.discarded.iter().map(|serial| (name.clone(), serial.clone())).collect::<Vec<_>>()
        };
        table.rows.iter().flat_map(of).collect()
    }

    /// The disk of a removed volume is gone.
    pub(crate) async fn forget_disk(&self, name: &str, serial: &str) -> Result<(), Error> {
        let mut table = self.table.lock().await;
        let Some(mut row) = table.rows.get(name).cloned() else { return Ok(()) };
        row.discarded.retain(|other| other != serial);
        self.keep(&mut table, name, row).await
    }

    /// Removes it here; the guest's folder is then stale, its disk discarded.
    pub(crate) async fn remove(&self, name: &str) -> Result<Volume, Error> {
        let mut table = self.table.lock().await;
        let volume = table.rows.get(name).and_then(|row| row.volume.clone());
        let volume = volume.ok_or_else(|| VolumeError::NotFound(name.to_owned()))?;
        if let Some(users) = table.users.get(name).filter(|users| !users.is_empty()) {
            let users = users.iter().map(ToString::to_string).collect();
            return Err(VolumeError::InUse { name: name.to_owned(), users }.into());
        }
        let mut row = table.rows.get(name).cloned().unwrap_or_default();
        row.volume = None;
        row.stale |= volume.home == Home::DataDisk;
        row.discarded.extend(volume.disk().map(str::to_owned));
        self.keep(&mut table, name, row).await?;
        Ok(volume)
    }

    /// Names of what the guest has yet to remove.
    pub(crate) async fn stale(&self) -> Vec<String> {
        let table = self.table.lock().await;
        table.rows.iter().filter(|(_, row)| row.stale).map(|(name, _)| name.clone()).collect()
    }

    /// Has the guest remove the folder of a volume that was removed here; nothing happens when there is none.
    pub(crate) async fn dig(&self, agent: &vmm::Agent, name: &str) -> Result<(), Error> {
        let _digging = self.digging.lock().await;
        if !self.table.lock().await.rows.get(name).is_some_and(|row| row.stale) {
            return Ok(());
        }
        let request = v1::RemoveVolumeRequest { name: name.to_owned() };
        let removed = call(QUICK, agent.grpc().remove_volume(request)).await;
        removed.map_err(|error| error.into_error("remove the volume"))?;
        let mut table = self.table.lock().await;
        let row = table.rows.get(name).cloned().unwrap_or_default();
        self.keep(&mut table, name, Row { stale: false, ..row }).await
    }

    /// Stores the row, or that there is none.
    async fn keep(&self, table: &mut Table, name: &str, row: Row) -> Result<(), Error> {
        if row.is_empty() {
            return self.delete_row(table, name).await;
        }
        self.db.set(Kind::Volume, name, &row).await?;
        table.rows.insert(name.to_owned(), row);
        Ok(())
    }

    async fn delete_row(&self, table: &mut Table, name: &str) -> Result<(), Error> {
        self.db.delete(Kind::Volume, name).await?;
        table.rows.remove(name);
        Ok(())
    }
}

/// Where the volume is to lie when a container is created with it, in the VM that others share or in its own.
fn home(volume: &Volume, is_new: bool, has_own_vm: bool) -> Result<Home, Error> {
    let out_of_reach =
        |place, help| Err(VolumeError::OutOfReach { name: volume.name.clone(), place, help }.into());
    match Local::of(&volume.options)? {
        Local::Folder | Local::Disk => {}
        _ if !has_own_vm => return Ok(volume.home.clone()),
        Local::Tmpfs => {
            return out_of_reach("is memory of the VM that containers share", "use a tmpfs of the container");
        }
        Local::Host { .. } => {
            return out_of_reach("is a folder of this computer", "mount the folder by its path");
        }
    }
    match (&volume.home, has_own_vm) {
        (Home::Nowhere, false) => Ok(Home::DataDisk),
        (Home::Nowhere, true) if is_new && volume.is_anonymous() => Ok(Home::OwnVm),
        (Home::Nowhere, true) => Ok(Home::Disk(new_serial())),
        (Home::DataDisk, true) => out_of_reach(
            "lies on the disk of the VM that containers share",
            "copy it into one made by `docker volume create -o type=disk`, which all can mount, one VM at a time",
        ),
        (Home::OwnVm, _) => out_of_reach(IN_OWN_VM, "use a named one"),
        (home, _) => Ok(home.clone()),
    }
}

pub(super) fn names(mounts: &[Mount]) -> impl Iterator<Item = &str> {
    mounts.iter().filter_map(|mount| match &mount.source {
        Source::Volume { name, .. } => Some(name.as_str()),
        _ => None,
    })
}

fn forget_user(table: &mut Table, mounts: &[Mount], container: &ContainerId) {
    for name in names(mounts) {
        if let Some(users) = table.users.get_mut(name) {
            users.remove(container);
            if users.is_empty() {
                table.users.remove(name);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(raw: &[&str]) -> Vec<Wanted> {
        let config = bollard_stubs::models::ContainerConfig::default();
        let host = bollard_stubs::models::HostConfig {
            binds: Some(raw.iter().map(ToString::to_string).collect()),
            ..Default::default()
        };
        struct Nobody;
        impl crate::mounts::World for Nobody {
            fn mounts_of(&self, _: &str) -> Result<Vec<Mount>, Error> {
                Ok(Vec::new())
            }
            fn exists(&self, _: &str) -> bool {
                false
            }
        }
        crate::mounts::plan(&config, &host, &Nobody).unwrap()
    }

    #[tokio::test]
    async fn used_volumes_stay_and_a_removed_ones_folder_is_stale() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("engine.redb");
        let (db, _) = Db::open(&path).unwrap();
        let volumes = Volumes::load(db.clone(), Vec::new(), &[]);
        let mut record = crate::record::tests::record();
        let (mounts, new) =
            volumes.acquire(&record.id, false, wanted(&["/a", "vol:/b", "vol:/c"])).await.unwrap();
        assert_eq!((mounts.len(), new.len()), (3, 2));
        assert!(new[0].is_anonymous() && new[0].name.len() == 64 && !new[1].is_anonymous());
        record.mounts = mounts;
        let text = volumes.remove("vol").await.unwrap_err().to_string();
        assert_eq!(text, format!("remove vol: volume is in use - [{}]", record.id));
        assert!(!volumes.create("vol", &NewVolume::default()).await.unwrap().new);
        volumes.release(&record).await;
        volumes.remove("vol").await.unwrap();
        assert_eq!(volumes.get("vol").await, Err(VolumeError::NotFound("vol".to_owned())));
        assert_eq!(volumes.stale().await, ["vol"]);
        assert!(volumes.create("vol", &NewVolume::default()).await.unwrap().new);
        db.close().await;

        // The new volume of that name must not show the old one's folder, whatever dies in between.
        let (db, loaded) = Db::open(&path).unwrap();
        let volumes = Volumes::load(db, loaded.volumes, &[record]);
        assert_eq!(volumes.stale().await, ["vol"]);
        assert_eq!(volumes.all().await.iter().map(|(_, users)| *users).collect::<Vec<_>>(), [1, 1]);
    }

    #[tokio::test]
    async fn the_first_container_decides_where_a_volume_lies() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("engine.redb");
        let (db, _) = Db::open(&path).unwrap();
        let volumes = Volumes::load(db.clone(), Vec::new(), &[]);
        let id = ContainerId::random();
        volumes.create("fresh", &NewVolume::default()).await.unwrap();
        assert_eq!(volumes.get("fresh").await.unwrap().home, Home::Nowhere);
        volumes.acquire(&id, false, wanted(&["shared:/a"])).await.unwrap();
        assert_eq!(volumes.get("shared").await.unwrap().home, Home::DataDisk);
        let (mounts, _) = volumes.acquire(&id, true, wanted(&["fresh:/a", "/b"])).await.unwrap();
        let fresh = volumes.get("fresh").await.unwrap();
        let serial = fresh.disk().unwrap().to_owned();
        let anonymous = names(&mounts).nth(1).unwrap().to_owned();
        assert_eq!(volumes.get(&anonymous).await.unwrap().home, Home::OwnVm);
        // Others can have the disk, too, but not what lies in one VM alone.
        volumes.acquire(&id, false, wanted(&["fresh:/a"])).await.unwrap();
        for (name, has_own_vm) in [("shared", true), (&*anonymous, true), (&*anonymous, false)] {
            let refused = volumes.acquire(&id, has_own_vm, wanted(&[&format!("{name}:/a")])).await;
            let refused = refused.unwrap_err();
            assert!(refused.to_string().contains("cannot be mounted in another VM"), "{refused}");
        }
        volumes.create("files", &NewVolume::default()).await.unwrap();
        volumes.written("files").await.unwrap();
        assert_eq!(volumes.get("files").await.unwrap().home, Home::DataDisk);
        volumes.written("fresh").await.unwrap();
        assert_eq!(volumes.get("fresh").await.unwrap(), fresh);
        let options = HashMap::from([("type".to_owned(), "disk".to_owned())]);
        let made = NewVolume { options, ..NewVolume::default() };
        let made = volumes.create("made", &made).await.unwrap().volume;
        assert_eq!(volumes.disks().await.len(), 2);

        // A removed one's disk is remembered until it is gone.
        volumes.remove("made").await.unwrap();
        assert_eq!(volumes.stale().await, Vec::<String>::new());
        db.close().await;
        let (db, loaded) = Db::open(&path).unwrap();
        let volumes = Volumes::load(db, loaded.volumes, &[]);
        let discarded = ("made".to_owned(), made.disk().unwrap().to_owned());
        assert_eq!(volumes.discarded().await, std::slice::from_ref(&discarded));
        volumes.forget_disk(&discarded.0, &discarded.1).await.unwrap();
        assert_eq!(volumes.discarded().await, []);
        assert_eq!(volumes.get("fresh").await.unwrap().disk(), Some(&*serial));
    }

    #[tokio::test]
    async fn a_creation_that_fails_leaves_no_anonymous_volume() {
        let folder = tempfile::tempdir().unwrap();
        let (db, _) = Db::open(&folder.path().join("engine.redb")).unwrap();
        let volumes = Volumes::load(db, Vec::new(), &[]);
        let id = ContainerId::random();
        let mut all = wanted(&["/a", "good:/b", "x:/c"]);
        assert!(volumes.acquire(&id, false, all.clone()).await.is_err());
        assert_eq!(
            volumes.all().await.iter().map(|(v, n)| (v.name.as_str(), *n)).collect::<Vec<_>>(),
            [("good", 0)]
        );
        all.truncate(1);
        all[0].volume.driver = "nfs".to_owned();
        let error = volumes.acquire(&id, false, all).await.unwrap_err();
        assert!(error.to_string().ends_with("plugin \"nfs\" not found"), "{error}");
        assert_eq!(error.kind(), crate::ErrorKind::NotFound);
    }
}
