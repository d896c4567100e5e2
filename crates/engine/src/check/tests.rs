use super::*;
use crate::ErrorKind;

fn own(words: &[&str]) -> Option<Vec<String>> {
    Some(words.iter().map(ToString::to_string).collect())
}

fn image() -> ImageConfig {
    ImageConfig {
        entrypoint: own(&["/entry"]),
        cmd: own(&["serve"]),
        env: own(&["A=1", "B=2"]),
        ..Default::default()
    }
}

#[test]
fn entrypoint_and_command_by_dockers_rules() {
    for (entrypoint, cmd, expected) in [
        (None, None, &["/entry", "serve"][..]),
        (None, own(&["x"]), &["/entry", "x"]),
        (own(&["e"]), None, &["e"]),
        (own(&["e"]), own(&["x"]), &["e", "x"]),
        (Some(Vec::new()), None, &["serve"]),
        (own(&[""]), own(&["x"]), &["x"]),
    ] {
        let body = ContainerCreateBody { entrypoint, cmd, ..Default::default() };
        assert_eq!(check(body, image()).unwrap().command, expected);
    }
    let body = ContainerCreateBody { entrypoint: own(&[""]), ..Default::default() };
    assert!(matches!(check(body, image()), Err(Error::Invalid(Invalid::NoCommand))));
}

#[test]
fn the_image_fills_in() {
    let body =
        ContainerCreateBody { env: own(&["B=3", "C=4"]), user: Some(String::new()), ..Default::default() };
    let body = ContainerCreateBody { volumes: own(&["/more", "/data"]), ..body };
    let from = ImageConfig { user: Some("app".into()), volumes: own(&["/data"]), ..image() };
    let checked = check(body, from).unwrap();
    assert_eq!(checked.config.volumes, own(&["/data", "/more"]));
    assert_eq!(checked.config.env, own(&["A=1", "B=3", "C=4"]));
    assert_eq!(checked.config.user.as_deref(), Some("app"));
    assert_eq!(checked.host_config.network_mode.as_deref(), Some("bridge"));
}

#[test]
fn what_cannot_be_honoured_is_named() {
    type Change = fn(&mut HostConfig);
    let (missing, invalid) = (ErrorKind::NotImplemented, ErrorKind::InvalidParameter);
    let table: [(&str, ErrorKind, Change); 8] = [
        ("invalid PID mode", invalid, |host| host.pid_mode = Some("odd".into())),
        ("invalid IPC mode", invalid, |host| host.ipc_mode = Some("odd".into())),
        ("invalid device cgroup rule", invalid, |host| host.device_cgroup_rules = own(&["x"])),
        ("unknown or invalid runtime name: kata", invalid, |host| host.runtime = Some("kata".into())),
        ("HostConfig.SecurityOpt", missing, |host| host.security_opt = own(&["apparmor=strict"])),
        ("Decoding seccomp profile", invalid, |host| host.security_opt = own(&["seccomp={"])),
        ("logger: no log driver named 'syslog'", invalid, |host| {
            host.log_config = Some(HostConfigLogConfig { typ: Some("syslog".into()), config: None });
        }),
        ("Your kernel does not support CPU real-time", invalid, |host| host.cpu_realtime_period = Some(1)),
    ];
    for (text, kind, change) in table {
        let mut host_config = HostConfig::default();
        change(&mut host_config);
        let body = ContainerCreateBody { host_config: Some(host_config), ..Default::default() };
        let error = check(body, image()).unwrap_err();
        assert!(error.to_string().starts_with(text), "{error}");
        assert_eq!(error.kind(), kind, "{text}");
    }
}

#[test]
fn auto_remove_and_restart_exclude_each_other() {
    let policy = RestartPolicy { name: Some(RestartPolicyNameEnum::ALWAYS), maximum_retry_count: None };
    let host_config =
        HostConfig { auto_remove: Some(true), restart_policy: Some(policy), ..Default::default() };
    let body = ContainerCreateBody { host_config: Some(host_config), ..Default::default() };
    assert!(matches!(check(body, image()), Err(Error::Invalid(_))));
}

#[test]
fn what_the_docker_client_sends_by_default_passes() {
    // As docker 28.2 writes it for `docker run --rm busybox true`.
    let json = r#"{"Hostname":"","Domainname":"","User":"","AttachStdin":false,"AttachStdout":true,
        "AttachStderr":true,"Tty":false,"OpenStdin":false,"StdinOnce":false,"Env":null,"Cmd":["true"],
        "Image":"busybox","Volumes":{},"WorkingDir":"","Entrypoint":null,"OnBuild":null,"Labels":{},
        "HostConfig":{"Binds":null,"ContainerIDFile":"","LogConfig":{"Type":"","Config":{}},
        "NetworkMode":"default","PortBindings":{},"RestartPolicy":{"Name":"no","MaximumRetryCount":0},
        "AutoRemove":true,"VolumeDriver":"","VolumesFrom":null,"ConsoleSize":[24,80],"CapAdd":null,
        "CapDrop":null,"CgroupnsMode":"","Dns":[],"DnsOptions":[],"DnsSearch":[],"ExtraHosts":null,
        "GroupAdd":null,"IpcMode":"","Cgroup":"","Links":null,"OomScoreAdj":0,"PidMode":"",
        "Privileged":false,"PublishAllPorts":false,"ReadonlyRootfs":false,"SecurityOpt":null,"UTSMode":"",
        "UsernsMode":"","ShmSize":0,"Isolation":"","CpuShares":0,"Memory":0,"NanoCpus":0,"CgroupParent":"",
        "BlkioWeight":0,"BlkioWeightDevice":[],"BlkioDeviceReadBps":[],"BlkioDeviceWriteBps":[],
        "BlkioDeviceReadIOps":[],"BlkioDeviceWriteIOps":[],"CpuPeriod":0,"CpuQuota":0,
        "CpuRealtimePeriod":0,"CpuRealtimeRuntime":0,"CpusetCpus":"","CpusetMems":"","Devices":[],
        "DeviceCgroupRules":null,"DeviceRequests":null,"MemoryReservation":0,"MemorySwap":0,
        "MemorySwappiness":-1,"OomKillDisable":false,"PidsLimit":0,"Ulimits":[],"CpuCount":0,
        "CpuPercent":0,"IOMaximumIOps":0,"IOMaximumBandwidth":0,"MaskedPaths":null,"ReadonlyPaths":null},
        "NetworkingConfig":{"EndpointsConfig":{"default":{"IPAMConfig":null,"Links":null,"Aliases":null,
        "MacAddress":"","DriverOpts":null,"NetworkID":"","EndpointID":"","Gateway":"","IPAddress":"",
        "IPPrefixLen":0,"IPv6Gateway":"","GlobalIPv6Address":"","GlobalIPv6PrefixLen":0,"DNSNames":null}}}}"#;
    let body: ContainerCreateBody = serde_json::from_str(json).unwrap();
    let checked = check(body, image()).unwrap();
    assert_eq!(checked.command, ["/entry", "true"]);
    assert!(checked.warnings.is_empty());
}
