//! A VM's life on a hypervisor whose machines are tasks: every transition without QEMU.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use vmm::{Accelerator, Level, MachineEvent, StartError, Status, Vm};

use support::{Boots, Fake, Hyper, config, hello, say_hello};

const TCG_WORKS: &[(Accelerator, Boots)] =
    &[(Accelerator::Kvm, Boots::Dies), (Accelerator::Tcg, Boots::Greets)];

fn vm(home: &std::path::Path, fake: &Arc<Fake>) -> Vm {
    Vm::with_hypervisor(config(home), Arc::new(Hyper(Arc::clone(fake))))
}

async fn wait(vm: &Vm, what: impl Fn(&Status) -> bool) -> Status {
    let mut states = vm.subscribe();
    let found = tokio::time::timeout(Duration::from_secs(10), states.wait_for(what)).await;
    found.unwrap_or_else(|_| panic!("still {:?}", vm.status())).unwrap().clone()
}

#[tokio::test]
async fn starts_on_what_works_and_remembers_what_does_not() {
    let home = tempfile::tempdir().unwrap();
    let fake = Fake::new(TCG_WORKS);
    let vm = vm(home.path(), &fake);
    let agent = vm.ensure_running().await.unwrap();
    assert_eq!(agent.boot_id(), "boot-1");
    assert!(matches!(vm.status(), Status::Running { accelerator: Accelerator::Tcg, .. }));
    assert_eq!(fake.spawned.load(Ordering::SeqCst), 2);

    vm.stop().await.unwrap();
    assert_eq!(vm.status(), Status::Off);
    assert!(agent.is_gone() && vm.agent().is_none());
    vm.stop().await.unwrap();

    vm.start().await.unwrap();
    assert_eq!(fake.spawned.load(Ordering::SeqCst), 3, "kvm is not tried again");
    vm.restart().await.unwrap();
    assert_eq!(fake.spawned.load(Ordering::SeqCst), 4);

    vm.reprobe().await;
    vm.restart().await.unwrap();
    assert_eq!(fake.spawned.load(Ordering::SeqCst), 6, "kvm is tried again");
    assert_eq!(fake.removed.load(Ordering::SeqCst), 5);
}

#[tokio::test]
async fn only_what_runs_by_the_serial_port_moves() {
    let (home, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let vm = vm(home.path(), &Fake::new(TCG_WORKS));
    let refused = async || vm.move_to(config(other.path())).await.unwrap_err().kind();
    assert_eq!(refused().await, std::io::ErrorKind::NotConnected);
    let agent = vm.ensure_running().await.unwrap();
    assert_eq!(refused().await, std::io::ErrorKind::Unsupported);
    assert_eq!(vm.config().run_dir, config(home.path()).run_dir);
    assert!(!agent.is_gone() && !other.path().join("run").exists());
}

#[tokio::test]
async fn a_taken_hello_port_is_passed_over() {
    let home = tempfile::tempdir().unwrap();
    let fake = Fake::new(TCG_WORKS);
    fake.vsock_is_taken.store(true, Ordering::SeqCst);
    let config = vmm::VmConfig { transport: vmm::Choice::Auto, ..config(home.path()) };
    let vm = Vm::with_hypervisor(config, Arc::new(Hyper(Arc::clone(&fake))));
    vm.start().await.unwrap();
    assert!(matches!(vm.status(), Status::Running { transport: transport::Kind::Memory, .. }));
}

#[tokio::test]
async fn the_doctor_knows_the_verdicts() {
    let home = tempfile::tempdir().unwrap();
    let vm = vm(home.path(), &Fake::new(TCG_WORKS));
    vm.start().await.unwrap();
    let level =
        |id: &str| vm.doctor().into_iter().find(|finding| finding.id == id).map(|finding| finding.level);
    let known = async {
        while level("vm.accelerator.kvm") != Some(Level::Warn) {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(5), known).await.unwrap();
    assert_eq!(level("vm.accelerator.tcg"), Some(Level::Ok));
    assert_eq!(level("vm.transport"), Some(Level::Ok));
    assert_eq!(level("vm.image"), Some(Level::Error));
}

#[tokio::test]
async fn a_failed_start_leaves_nothing_and_says_why() {
    for (boots, expected) in
        [(Boots::Dies, "fake death"), (Boots::Alien, "protocol 77"), (Boots::Truncated, "hello is broken")]
    {
        let home = tempfile::tempdir().unwrap();
        let fake = Fake::new(&[(Accelerator::Kvm, boots), (Accelerator::Tcg, boots)]);
        let vm = vm(home.path(), &fake);
        let StartError::Failed { reason, .. } = vm.start().await.unwrap_err() else { panic!() };
        assert!(reason.contains(expected), "{reason}");
        assert!(matches!(vm.status(), Status::Failed { retry_in_ms: None, .. }));
        assert_eq!(fake.spawned.load(Ordering::SeqCst), fake.removed.load(Ordering::SeqCst));
        vm.stop().await.unwrap();
        assert_eq!(vm.status(), Status::Off);
    }
}

#[tokio::test]
async fn a_stop_ends_a_boot_under_way() {
    let home = tempfile::tempdir().unwrap();
    let fake = Fake::new(&[(Accelerator::Kvm, Boots::Dies), (Accelerator::Tcg, Boots::Silent)]);
    let vm = vm(home.path(), &fake);
    let starting = tokio::spawn({
        let vm = vm.clone();
        async move { vm.start().await }
    });
    wait(&vm, |status| matches!(status, Status::Booting { accelerator: Some(Accelerator::Tcg), .. })).await;
    vm.stop().await.unwrap();
    assert!(matches!(starting.await.unwrap(), Err(StartError::Stopped)));
    assert_eq!(vm.status(), Status::Off);
    assert_eq!(fake.spawned.load(Ordering::SeqCst), fake.removed.load(Ordering::SeqCst));
}

#[tokio::test]
async fn a_dead_vm_is_restarted_until_the_policy_gives_up() {
    let home = tempfile::tempdir().unwrap();
    let fake = Fake::new(TCG_WORKS);
    let vm = vm(home.path(), &fake);
    let first = vm.ensure_running().await.unwrap();
    let died = || fake.befall(MachineEvent::Exited { how: "killed by the test".into() });
    for expected in 1..=2 {
        died();
        wait(&vm, |status| matches!(status, Status::Running { restarts, .. } if *restarts == expected)).await;
    }
    assert!(first.is_gone() && !vm.agent().unwrap().is_gone());
    died();
    let failed = wait(&vm, Status::is_down).await;
    assert!(matches!(failed, Status::Failed { reason, .. } if reason.contains("killed by the test")));
    vm.start().await.unwrap();
}

#[tokio::test]
async fn a_lost_link_is_repaired_under_the_same_agent() {
    let home = tempfile::tempdir().unwrap();
    let fake = Fake::new(TCG_WORKS);
    let vm = vm(home.path(), &fake);
    let agent = vm.ensure_running().await.unwrap();
    fake.befall(MachineEvent::LinkLost { how: "killed by the test".into() });
    let repaired = async {
        while fake.repaired.load(Ordering::SeqCst) == 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(5), repaired).await.unwrap();
    // A command waits for the repair; then all is as before.
    vm.start().await.unwrap();
    assert!(!agent.is_gone());
    assert_eq!(fake.spawned.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn one_that_stands_still_says_so_and_is_not_waited_for() {
    let home = tempfile::tempdir().unwrap();
    let fake = Fake::new(TCG_WORKS);
    let vm = vm(home.path(), &fake);
    let agent = vm.ensure_running().await.unwrap();
    fake.halted.send_replace(true);
    let status = wait(&vm, |status| status.halted().is_some()).await;
    let disks = home.path().join("disks").display().to_string();
    assert!(status.is_running() && status.halted().unwrap().contains(&disks), "{status:?}");
    let refused = vm.ensure_running().await.unwrap_err();
    assert!(matches!(refused, StartError::Halted(ref why) if why.contains(&disks)), "{refused}");
    fake.halted.send_replace(false);
    wait(&vm, |status| status.is_running() && status.halted().is_none()).await;
    vm.ensure_running().await.unwrap();
    assert!(!agent.is_gone());
}

#[tokio::test]
async fn a_restarted_agent_gets_a_new_handle() {
    let home = tempfile::tempdir().unwrap();
    let fake = Fake::new(TCG_WORKS);
    let vm = vm(home.path(), &fake);
    vm.start().await.unwrap();
    let mut agents = vm.agents();
    agents.mark_unchanged();
    let again =
        agent_proto::v1::Hello { agent_version: "10.0".into(), agent_restarted: true, ..hello("boot-1") };
    let welcome = say_hello(&*fake.guest, &again).await.unwrap();
    assert_eq!((welcome.protocol, welcome.entropy.len()), (agent_proto::PROTOCOL, 64));
    assert!(welcome.unix_time_ns > 1_700_000_000_000_000_000);
    tokio::time::timeout(Duration::from_secs(5), agents.changed()).await.unwrap().unwrap();
    let agent = agents.borrow().clone().unwrap();
    assert_eq!((agent.boot_id(), agent.hello().agent_version.as_str()), ("boot-1", "10.0"));
}

#[tokio::test]
async fn two_owners_are_one_too_many() {
    let home = tempfile::tempdir().unwrap();
    let first = vm(home.path(), &Fake::new(TCG_WORKS));
    first.start().await.unwrap();
    let second = vm(home.path(), &Fake::new(TCG_WORKS));
    wait(&second, Status::is_down).await;
    assert!(matches!(second.start().await, Err(StartError::Owned { .. })));
    first.detach().await;
    assert!(matches!(first.start().await, Err(StartError::Detached)));
    second.start().await.unwrap();
}
