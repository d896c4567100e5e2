use bollard_stubs::models::ResourcesUlimits;
use oci_spec::runtime::Spec;

use super::*;
use crate::record::tests::record;

fn built(record: &Record) -> Value {
    let spec = runtime_spec(record).unwrap();
    // It is what the specification's own types read.
    serde_json::from_value::<Spec>(spec.clone()).unwrap();
    spec
}

fn changed(change: impl FnOnce(&mut Record)) -> Value {
    let mut record = record();
    change(&mut record);
    built(&record)
}

fn refused(change: impl FnOnce(&mut HostConfig)) -> bool {
    let mut record = record();
    change(&mut record.host_config);
    check(&record).is_err()
}

#[test]
fn a_plain_container_is_dockers() {
    let spec = changed(|record| record.config.env = Some(vec!["A=1".into()]));
    assert_eq!(spec["process"]["cwd"], "/");
    assert_eq!(spec["process"]["capabilities"]["effective"].as_array().unwrap().len(), 14);
    let env: Vec<String> = serde_json::from_value(spec["process"]["env"].clone()).unwrap();
    assert_eq!(env[0], DEFAULT_PATH);
    assert!(env[1].starts_with("HOSTNAME=") && env[2] == "A=1");
    assert_eq!(spec["linux"]["namespaces"].as_array().unwrap().len(), 6);
    assert!(spec["linux"]["seccomp"].is_object());
    assert_eq!(spec["linux"]["maskedPaths"][0], "/proc/asound");
    assert_eq!(spec["root"]["readonly"], false);
    let targets: Vec<_> =
        spec["mounts"].as_array().unwrap().iter().map(|m| m["destination"].clone()).collect();
    let expected = ["/proc", "/dev", "/dev/pts", "/sys", "/sys/fs/cgroup", "/dev/mqueue", "/dev/shm"];
    assert_eq!(targets, expected);
}

#[test]
fn privileged_has_everything() {
    let spec = changed(|record| record.host_config.privileged = Some(true));
    assert_eq!(spec["process"]["capabilities"]["effective"].as_array().unwrap().len(), 41);
    assert!(spec["linux"]["seccomp"].is_null() && spec["linux"]["maskedPaths"].is_null());
}

#[test]
fn namespaces_can_be_the_vms() {
    let spec = changed(|record| {
        record.host_config.pid_mode = Some("host".into());
        record.host_config.ipc_mode = Some("none".into());
    });
    assert!(!spec["linux"]["namespaces"].to_string().contains("pid"));
    assert!(!spec["mounts"].to_string().contains("/dev/shm"));
}

#[test]
fn options_reach_the_spec() {
    let spec = changed(|record| {
        record.config.user = Some("1000".into());
        record.config.tty = Some(true);
        record.host_config = HostConfig {
            network_mode: Some("host".into()),
            readonly_rootfs: Some(true),
            security_opt: Some(vec!["no-new-privileges".into(), "seccomp=unconfined".into()]),
            memory: Some(64 << 20),
            nano_cpus: Some(1_500_000_000),
            pids_limit: Some(50),
            ulimits: Some(vec![ResourcesUlimits {
                name: Some("nofile".into()),
                soft: Some(1),
                hard: Some(-1),
            }]),
            sysctls: Some([("kernel.shmmax".to_owned(), "9".to_owned())].into()),
            tmpfs: Some([("/run".to_owned(), "exec,size=1m".to_owned())].into()),
            masked_paths: Some(Vec::new()),
            ..HostConfig::default()
        };
    });
    // Not root: no capability but by set-uid.
    assert!(spec["process"]["capabilities"]["effective"].as_array().unwrap().is_empty());
    assert!(spec["process"]["env"].to_string().contains("TERM=xterm"));
    assert_eq!(spec["process"]["noNewPrivileges"], true);
    assert_eq!(spec["process"]["rlimits"][0]["hard"], u64::MAX);
    assert!(!spec["linux"]["namespaces"].to_string().contains("network"));
    assert!(spec["linux"]["seccomp"].is_null());
    assert_eq!(spec["linux"]["resources"]["memory"]["swap"], 128 << 20);
    assert_eq!(spec["linux"]["resources"]["cpu"]["quota"], 150_000);
    assert_eq!(spec["linux"]["resources"]["pids"]["limit"], 50);
    assert_eq!(spec["linux"]["sysctl"]["kernel.shmmax"], "9");
    assert!(spec["linux"]["maskedPaths"].as_array().unwrap().is_empty());
    let options = spec["mounts"][7]["options"].to_string();
    assert!(options.contains("size=1m") && !options.contains("noexec"), "{options}");
}

#[test]
fn nonsense_is_refused() {
    assert!(refused(|host| host.memory = Some(1)));
    assert!(refused(|host| host.memory_swap = Some(1 << 30)));
    assert!(refused(|host| host.cap_add = Some(vec!["flying".into()])));
    assert!(refused(|host| host.sysctls = Some([("vm.swappiness".to_owned(), "1".to_owned())].into())));
    assert!(refused(|host| host.tmpfs = Some([("run".to_owned(), String::new())].into())));
    assert!(refused(|host| host.security_opt = Some(vec!["seccomp={}".into()])));
    assert!(refused(|host| host.ulimits =
        Some(vec![ResourcesUlimits { name: Some("odd".into()), soft: Some(1), hard: Some(1) }])));
}

#[test]
fn environment_entries_override_and_unset() {
    let mut env: Vec<String> = ["A=1", "B=2", "C=3"].map(str::to_owned).into();
    override_env(&mut env, &["B=9".to_owned(), "C".to_owned(), "D=4".to_owned(), "E".to_owned()]);
    assert_eq!(env, ["A=1", "B=9", "D=4"]);
}

#[test]
fn execs_take_user_and_directory_from_the_container() {
    let mut record = record();
    record.config.user = Some("app".into());
    record.config.working_dir = Some("/srv".into());
    let mut exec = ExecProcess {
        args: &["sh".to_owned()],
        env: &["X=1".to_owned()],
        tty: true,
        working_dir: None,
        user: None,
        privileged: false,
    };
    let (user, process) = exec_process(&record, &exec).unwrap();
    assert_eq!((user.as_str(), &process["cwd"]), ("app", &json!("/srv")));
    assert!(process["env"].to_string().contains("TERM=xterm") && process["env"].to_string().contains("X=1"));
    exec.user = Some("0");
    exec.privileged = true;
    let (user, process) = exec_process(&record, &exec).unwrap();
    assert_eq!(user, "0");
    assert_eq!(process["capabilities"]["effective"].as_array().unwrap().len(), 41);
}
