//! The settings that count, and how they change while the service runs.
//!
//! ```text
//!  editor ──► settings.json ──► watch ──► read_again ─┐
//!  client ──► change ──► checked, written by rename ──┴─► apply ──► images, engine, log: at once
//!                                                               └─► vm: from its next boot on
//! ```
//!
//! Invariant: the file holds what a client was told is saved; what cannot be read or is not allowed changes nothing.

#[cfg(test)]
mod tests;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use engine::Engine;
use engine_api::{ChangeError, Preferences, Shown};
use futures::FutureExt as _;
use futures::future::BoxFuture;
use images::ProxySettings;
use serde_json::{Map, Value};
use vmm::{Vm, VmConfig};

use crate::home::Home;
use crate::logging::Filter;
use crate::settings::Settings;
use crate::view::{FIELDS, View};

/// What settings are applied to.
pub(crate) struct Parts {
    pub(crate) images: images::Store,
    pub(crate) engine: Engine,
    pub(crate) vm: Vm,
    pub(crate) filter: Filter,
}

/// Keeps the settings and has them count.
pub(crate) struct Live {
    file: PathBuf,
    home: Home,
    parts: Parts,
    /// Of a VM for which nothing is set.
    defaults: VmConfig,
    /// What the command line or the environment says of the log; the file's word does not count then.
    log_given: Option<String>,
    first: Settings,
    now: Mutex<Now>,
}

struct Now {
    settings: Settings,
    /// What stands in the file.
    set: Map<String, Value>,
    problem: Option<String>,
}

impl std::fmt::Debug for Live {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Live").field("file", &self.file).finish_non_exhaustive()
    }
}

impl Live {
    /// With what was read at the start and counts already.
    pub(crate) fn new(
        file: PathBuf,
        home: Home,
        parts: Parts,
        defaults: VmConfig,
        log_given: Option<String>,
        (settings, set): (Settings, Map<String, Value>),
    ) -> Self {
        let first = settings.clone();
        let now = Mutex::new(Now { settings, set, problem: None });
        Self { file, home, parts, defaults, log_given, first, now }
    }

    pub(crate) fn file(&self) -> &Path {
        &self.file
    }

    fn now(&self) -> MutexGuard<'_, Now> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes what stands in the file by now. Blocking, but short.
    pub(crate) fn read_again(&self) {
        let mut now = self.now();
        match Settings::read(&self.file) {
            Ok((settings, set)) => {
                now.problem = None;
                now.set = set;
                if now.settings != settings {
                    self.apply(&mut now, settings);
                }
            }
            // An editor may be half way through; the settings that were read before stay.
            Err(error) => {
                let problem = format!("{error:#}");
                if now.problem.as_ref() != Some(&problem) {
                    tracing::warn!("settings are not applied: {problem}");
                }
                now.problem = Some(problem);
            }
        }
    }

    fn apply(&self, now: &mut Now, settings: Settings) {
        let changed: Vec<_> = differing(&now.settings, &settings);
        tracing::info!(?changed, "settings have changed");
        let registries = settings.registries(&self.home);
        if registries != self.parts.images.registry_settings() {
            self.parts.images.set_registries(registries);
        }
        self.parts.engine.set_file_sharing(settings.file_sharing());
        self.parts.engine.set_publish_on(settings.publish_on);
        self.parts.engine.set_name_servers(settings.dns.clone());
        let planned = settings.configured(&self.defaults);
        self.parts.vm.reconfigure(|config| {
            config.memory_mib = planned.memory_mib;
            config.cpus = planned.cpus;
            config.data_disk_bytes = planned.data_disk_bytes;
            config.accelerator = planned.accelerator;
            config.transport = planned.transport;
        });
        if self.log_given.is_none()
            && let Err(error) = self.parts.filter.set(settings.log_filter())
        {
            tracing::warn!("the log goes on as before: {error:#}");
        }
        now.settings = settings;
    }

    fn data_disk_bytes(&self) -> u64 {
        std::fs::metadata(&self.defaults.data_disk).map_or(0, |meta| meta.len())
    }

    fn change_now(&self, wanted: Map<String, Value>) -> Result<(), ChangeError> {
        let mut now = self.now();
        // Not what was read some time ago: an editor may have saved since.
        let read = Settings::read(&self.file);
        let (before, set_before) = read.map_err(|error| {
            ChangeError::Conflict(format!("{error:#}. Mend or remove the file, then try again"))
        })?;
        let mut set = set_before.clone();
        merge(&mut set, wanted, &before)?;
        let (settings, text) = checked(&set)?;
        let (wanted, has) = (settings.data_disk_gib, self.data_disk_bytes());
        if let Some(gib) = wanted.filter(|&gib| gib << 30 < has && before.data_disk_gib != wanted) {
            return Err(ChangeError::Invalid(format!(
                "data_disk_gib is {gib}, but the data disk is {} GiB already, and it can only grow",
                has.div_ceil(1 << 30)
            )));
        }
        if set != set_before {
            write(&self.file, &text).map_err(|error| {
                ChangeError::Failed(format!("settings {} are not written: {error}", self.file.display()))
            })?;
        }
        now.problem = None;
        now.set = set;
        if now.settings != settings {
            self.apply(&mut now, settings);
        }
        Ok(())
    }
}

impl Preferences for Live {
    fn shown(&self) -> Shown {
        let now = self.now();
        let view = View {
            file: &self.file,
            problem: now.problem.clone(),
            settings: &now.settings,
            set: &now.set,
            first: &self.first,
            defaults: &self.defaults,
            status: self.parts.vm.status(),
            data_disk_bytes: self.data_disk_bytes(),
            log_given: self.log_given.as_deref(),
        };
        view.shown()
    }

    fn change(&self, wanted: Map<String, Value>) -> BoxFuture<'_, Result<Shown, ChangeError>> {
        // A file of a few hundred bytes: not worth a thread.
        async move { self.change_now(wanted).map(|()| self.shown()) }.boxed()
    }

    fn secrets(&self) -> Vec<String> {
        let now = self.now();
        [now.settings.proxies(), self.first.proxies(), ProxySettings::of_environment()]
            .iter()
            .flat_map(|proxies| [&proxies.http, &proxies.https].into_iter().flat_map(|url| userinfo(url)))
            .collect()
    }
}

/// What stands before the host in `http://name:password@host`, and the password alone. A name is no secret, and may
/// be a word that stands everywhere.
fn userinfo(url: &str) -> Vec<String> {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let Some((userinfo, _)) = rest.rsplit_once('@') else { return Vec::new() };
    let password = userinfo.split_once(':').map_or("", |(_, password)| password);
    [userinfo, password].into_iter().filter(|part| !part.is_empty()).map(str::to_owned).collect()
}

/// The names of settings that two have different.
fn differing(a: &Settings, b: &Settings) -> Vec<&'static str> {
    let value = |settings| serde_json::to_value(settings).unwrap_or_default();
    let (a, b) = (value(a), value(b));
    FIELDS.iter().map(|(name, _)| *name).filter(|name| a[*name] != b[*name]).collect()
}

/// Puts what is wanted into what stands in the file.
fn merge(
    set: &mut Map<String, Value>,
    wanted: Map<String, Value>,
    before: &Settings,
) -> Result<(), ChangeError> {
    for (name, mut value) in wanted {
        if !FIELDS.iter().any(|(known, _)| *known == name) {
            let known: Vec<_> = FIELDS.iter().map(|(known, _)| *known).collect();
            return Err(ChangeError::Invalid(format!(
                "unknown setting {name:?} (there are {})",
                known.join(", ")
            )));
        }
        if value.is_null() {
            set.remove(&name);
            continue;
        }
        if name == "proxy" {
            unmask(&mut value, &before.proxies());
        }
        set.insert(name, value);
    }
    Ok(())
}

/// A client that shows proxies and sends them back has not seen their passwords: what is masked stays as it was.
fn unmask(proxy: &mut Value, before: &ProxySettings) {
    let masked = before.masked();
    for (name, masked, whole) in
        [("http", &masked.http, &before.http), ("https", &masked.https, &before.https)]
    {
        if let Some(value) = proxy.get_mut(name)
            && value.as_str() == Some(masked)
        {
            *value = Value::String(whole.clone());
        }
    }
}

/// As the file is read: the same words for the same mistakes.
fn checked(set: &Map<String, Value>) -> Result<(Settings, String), ChangeError> {
    let invalid = ChangeError::Invalid;
    // Each by itself, for the error to name it.
    for (name, value) in set {
        let one = Map::from_iter([(name.clone(), value.clone())]);
        if let Err(error) = serde_json::from_value::<Settings>(Value::Object(one)) {
            return Err(invalid(format!("{name}: {error}")));
        }
    }
    let text = serde_json::to_string_pretty(set).map_err(|error| invalid(error.to_string()))?;
    let settings: Settings = serde_json::from_str(&text).map_err(|error| invalid(error.to_string()))?;
    settings.check().map_err(|error| invalid(format!("{error:#}")))?;
    Ok((settings, text))
}

/// Whole or not at all, and where a link leads to when the file is one.
fn write(file: &Path, text: &str) -> std::io::Result<()> {
    let file = file.canonicalize().unwrap_or_else(|_| file.to_owned());
    let folder = file.parent().unwrap_or(Path::new("."));
    let mut new = tempfile::Builder::new().prefix(".settings-").tempfile_in(folder)?;
    new.write_all(text.as_bytes())?;
    new.write_all(b"\n")?;
    new.as_file().sync_all()?;
    new.persist(&file)?;
    Ok(())
}
