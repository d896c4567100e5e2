use std::sync::Arc;

use serde_json::json;
use tracing_subscriber::layer::SubscriberExt as _;

use super::*;

struct Fixture {
    dir: tempfile::TempDir,
    live: Arc<Live>,
    /// The filter ends with its layer.
    _subscriber: Box<dyn std::any::Any>,
}

/// A service without a VM, begun with these settings.
async fn fixture(text: &str) -> Fixture {
    let dir = tempfile::tempdir().unwrap();
    let home = Home::open(Some(dir.path().to_owned())).unwrap();
    std::fs::write(home.settings(), text).unwrap();
    let (settings, set) = Settings::read(&home.settings()).unwrap();
    let registries = settings.registries(&home);
    let images =
        images::Store::open(&home.images(), &home.db().join("images.redb"), registries).await.unwrap();
    let defaults = VmConfig::below(home.path(), home.path().join("none"), home.path().join("none"));
    let defaults = VmConfig { qemu: Some(home.path().join("no-qemu")), ..defaults };
    let vm = Vm::new(settings.configured(&defaults));
    let config = crate::service::engine_config(&home, &settings, defaults.clone());
    let engine = Engine::open(config, images.clone(), Arc::new(vm.clone())).await.unwrap();
    let (filter, layer) = Filter::new(settings.log_filter()).unwrap();
    let subscriber = tracing_subscriber::registry().with(layer);
    let parts = Parts { images, engine, vm, filter };
    let live = Live::new(home.settings(), home, parts, defaults, None, (settings, set));
    Fixture { dir, live: Arc::new(live), _subscriber: Box::new(subscriber) }
}

impl Fixture {
    async fn change(&self, wanted: Value) -> Result<Value, ChangeError> {
        let Value::Object(wanted) = wanted else { panic!("an object") };
        self.live.change(wanted).await.map(|shown| serde_json::to_value(shown).unwrap())
    }

    async fn refused(&self, wanted: Value) -> String {
        let error = self.change(wanted).await.unwrap_err();
        assert!(matches!(error, ChangeError::Invalid(_)), "{error:?}");
        error.to_string()
    }

    fn file(&self) -> Value {
        serde_json::from_slice(&std::fs::read(self.live.file()).unwrap()).unwrap()
    }
}

#[tokio::test]
async fn a_change_is_saved_and_counts() {
    let its = fixture(r#"{"memory_mib":512,"insecure_registries":["old:5000"]}"#).await;
    let shown = its
        .change(
            json!({"memory_mib":1024,"cpus":1,"mirrors":[{"url":"http://m:1"}],"insecure_registries":null,
            "dns":["9.9.9.9"],"publish_on":"all","file_sharing":["/srv"],"log":"warn"}),
        )
        .await
        .unwrap();
    assert_eq!(shown["values"]["memory_mib"], 1024);
    assert_eq!(shown["values"]["insecure_registries"], json!([]));
    assert_eq!(shown["fields"]["memory_mib"]["set"], true);
    assert_eq!(shown["fields"]["insecure_registries"]["set"], false);
    let file = its.file();
    assert_eq!(file["memory_mib"], 1024);
    assert!(file.get("insecure_registries").is_none(), "{file}");
    let parts = &its.live.parts;
    assert_eq!(parts.images.registry_settings().mirrors[0].url, "http://m:1");
    assert!(parts.images.registry_settings().insecure_registries.is_empty());
    let planned = parts.vm.config();
    assert_eq!((planned.memory_mib, planned.cpus), (1024, 1));
    // Nothing else is in the folder afterwards.
    let left: Vec<_> = std::fs::read_dir(its.dir.path()).unwrap().flatten().map(|e| e.file_name()).collect();
    assert!(!left.iter().any(|name| name.to_string_lossy().starts_with(".settings-")), "{left:?}");
}

#[tokio::test]
async fn what_is_not_allowed_changes_nothing() {
    let its = fixture(r#"{"memory_mib":512}"#).await;
    for (wanted, text) in [
        (json!({"memory":1}), "unknown setting \"memory\""),
        (json!({"memory_mib":1}), "memory_mib is 1, the least is 128"),
        (json!({"cpus":0}), "cpus is 0"),
        (json!({"cpus":"two"}), "cpus: invalid type"),
        (json!({"accelerator":"warp"}), "accelerator: "),
        (json!({"file_sharing":["src"]}), "not an absolute path"),
        (json!({"dns":["localhost"]}), "dns: invalid IP address"),
        (json!({"proxy":{"ftp":"x"}}), "unknown field `ftp`"),
        (json!({"log":"engine=loud"}), "log is"),
        // One wrong field keeps the others out.
        (json!({"cpus":1,"memory_mib":2}), "memory_mib is 2"),
    ] {
        let said = its.refused(wanted.clone()).await;
        assert!(said.contains(text), "{wanted}: {said}");
    }
    assert_eq!(its.file(), json!({"memory_mib":512}));
    assert_eq!(its.live.parts.vm.config().memory_mib, 512);
}

#[tokio::test]
async fn the_data_disk_grows_only() {
    let its = fixture("{}").await;
    let disk = std::fs::File::create(&its.live.defaults.data_disk).unwrap();
    disk.set_len(64 << 30).unwrap();
    let said = its.refused(json!({"data_disk_gib":32})).await;
    assert_eq!(said, "data_disk_gib is 32, but the data disk is 64 GiB already, and it can only grow");
    let shown = its.change(json!({"data_disk_gib":80})).await.unwrap();
    assert_eq!(shown["values"]["data_disk_gib"], 80);
    assert_eq!(its.live.parts.vm.config().data_disk_bytes, 80 << 30);
}

#[tokio::test]
async fn passwords_stay_and_are_not_shown() {
    let its = fixture(r#"{"proxy":{"http":"http://me:hunter2@p:1","https":"http://q:2"}}"#).await;
    let shown = serde_json::to_value(its.live.shown()).unwrap();
    assert!(!shown.to_string().contains("hunter2"), "{shown}");
    let mut proxy = shown["values"]["proxy"].clone();
    proxy["no_proxy"] = json!(".corp");
    its.change(json!({ "proxy": proxy })).await.unwrap();
    assert_eq!(its.file()["proxy"]["http"], "http://me:hunter2@p:1");
    assert_eq!(its.file()["proxy"]["no_proxy"], ".corp");
    let secrets = its.live.secrets();
    assert!(
        secrets.contains(&"hunter2".to_owned()) && secrets.contains(&"me:hunter2".to_owned()),
        "{secrets:?}"
    );
    assert!(!secrets.contains(&"me".to_owned()), "{secrets:?}");
}

#[tokio::test]
async fn an_editors_change_counts_and_its_mistakes_are_told() {
    let its = fixture("{}").await;
    std::fs::write(its.live.file(), r#"{"memory_mib":777}"#).unwrap();
    its.live.read_again();
    assert_eq!(its.live.parts.vm.config().memory_mib, 777);
    std::fs::write(its.live.file(), "{\"memory_mib\":").unwrap();
    its.live.read_again();
    let shown = its.live.shown();
    assert_eq!(shown.values["memory_mib"], 777);
    assert!(shown.problem.is_some_and(|problem| problem.contains("settings.json")));
    let refused = its.change(json!({"cpus":1})).await.unwrap_err();
    assert!(matches!(refused, ChangeError::Conflict(_)), "{refused:?}");
    // A client's change comes on top of what an editor has saved since.
    std::fs::write(its.live.file(), r#"{"memory_mib":888}"#).unwrap();
    its.change(json!({"cpus":1})).await.unwrap();
    assert_eq!(its.file(), json!({"memory_mib":888,"cpus":1}));
    assert_eq!(its.live.parts.vm.config().memory_mib, 888);
    assert_eq!(its.live.shown().problem, None);
}

#[cfg(unix)]
#[tokio::test]
async fn a_link_stays_a_link() {
    let its = fixture("{}").await;
    let elsewhere = its.dir.path().join("dotfiles.json");
    std::fs::rename(its.live.file(), &elsewhere).unwrap();
    std::os::unix::fs::symlink(&elsewhere, its.live.file()).unwrap();
    its.change(json!({"cpus":1})).await.unwrap();
    assert!(its.live.file().is_symlink());
    assert_eq!(its.file(), json!({"cpus":1}));
}
