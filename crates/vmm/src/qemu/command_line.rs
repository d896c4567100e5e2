//! What a machine looks like to QEMU: a pure function from the specification to arguments.

use std::ffi::OsString;
use std::path::Path;

use transport::Kind;

use super::sockets::Sockets;
use crate::{Accelerator, MachineSpec, Memory};

/// Ids that hot-unplugging and re-plugging refer to.
pub(super) const LINK_DEVICE: &str = "vsock";
pub(super) const LINK_CHARDEV: &str = "vsockd";
pub(super) const LINK_BUS: &str = "link";
/// The driver behind [`LINK_DEVICE`] with the vsock daemon.
pub(super) const LINK_DRIVER: &str = "vhost-user-vsock-pci";

/// Root ports left free for devices that come later (host folders, disks).
pub(super) const SPARE_PORTS: u32 = 8;
/// Of those, how many a copy has.
const COPYS_PORTS: u32 = crate::COPYS_DISKS;
/// The root port of a network card that comes later.
pub(super) const CARD_BUS: &str = "cardport";

/// The serial transport's port, found by its name in the guest.
const MUX_PORT: &str = "coracle.mux";

/// What a copy's translated code may take, of QEMU's 1,024: so much of a VM of 256 MiB, more in proportion in larger ones.
/// To start a container takes some 40 MiB. Below that code is thrown away and translated again, which costs programs that
/// start many processes dearly; but an idle VM keeps all of it (docs/measuring.md).
const COPYS_CODE_MIB: u64 = 24;
const MOST_CODE_MIB: u64 = 256;

/// Parts of a q35 that no guest of ours uses; each costs the kernel time to probe.
const OMITTED: &str = "usb=off,sata=off,smbus=off,vmport=off,graphics=off";

/// Initialisers of the guest's kernel that nothing of ours uses: a second source of randomness (virtio-rng and
/// the host's welcome feed the first), tracing, keys for signed modules, BPF's TCP hooks. Together they are
/// over a quarter of the kernel's instructions up to init.
const UNUSED_INITCALLS: &str = "jent_mod_init,init_kprobe_trace,trace_eval_init,load_system_certificate_list,\
                                bpf_tcp_ca_kfunc_init";

/// All arguments, the program's name excluded. `sandbox`: the flags that work here. `tsc_khz`: the
/// frequency of the host's time stamp counter.
pub(super) fn arguments(spec: &MachineSpec, sandbox: Option<&str>, tsc_khz: Option<u32>) -> Vec<OsString> {
    let sockets = Sockets::of(&spec.run_dir);
    let mut line = Line::default();
    line.flags(&["-nodefaults", "-no-user-config", "-no-reboot"]);
    line.option("-name", "coracle").option("-display", "none");
    if let Some(sandbox) = sandbox {
        line.option("-sandbox", sandbox);
    }
    machine(&mut line, spec);
    // No BIOS to speak of: qboot jumps into a PVH kernel at once.
    line.option("-bios", "qboot.rom");
    // A copy has booted; its kernel is in the saved memory.
    if !matches!(spec.memory, Memory::Copied { .. }) {
        line.path("-kernel", &spec.kernel)
            .path("-initrd", &spec.initramfs)
            .option("-append", &kernel_arguments(spec, tsc_khz));
    }
    line.chardev("file,id=console,append=on,path=", &spec.console_log, "")
        .option("-serial", "chardev:console");
    line.chardev(control_chardev(), &sockets.control(), control_suffix());
    line.option("-mon", "chardev=qmp,mode=control");
    line.option("-device", "virtio-rng-pci");
    let boots_here = spec.memory == Memory::Empty;
    if boots_here {
        line.option("-device", "virtio-balloon-pci,free-page-reporting=on");
    }
    line.disk("root", &spec.root_disk, r#""read-only":true,"locking":"off""#);
    line.disk("layers", &spec.layer_disk, r#""read-only":true,"locking":"off""#);
    line.disk("data", &spec.data_disk, r#""discard":"unmap""#);
    line.option("-netdev", "user,id=net").option("-device", "virtio-net-pci,netdev=net,romfile=");
    link(&mut line, spec, &sockets);
    // A copy's memory is not shared with anyone, so no daemon could serve it folders, but disks can come; and pages that
    // it reported as free would be punched into the file that it shares with others.
    for port in 1..=if boots_here { SPARE_PORTS } else { COPYS_PORTS } {
        line.option("-device", &format!("pcie-root-port,id=spare{port},chassis={0},slot={0}", port + 1));
    }
    let slot = SPARE_PORTS + 2;
    line.option("-device", &format!("pcie-root-port,id={CARD_BUS},chassis={slot},slot={slot}"));
    if let Memory::Copied { .. } = spec.memory {
        line.option("-incoming", "defer");
    }
    line.0
}

fn machine(line: &mut Line, spec: &MachineSpec) {
    let accelerator = match (spec.accelerator, &spec.memory) {
        (Accelerator::Tcg, Memory::Empty) => "tcg,thread=multi".to_owned(),
        (Accelerator::Tcg, _) => format!("tcg,thread=multi,tb-size={}", code_mib(spec.memory_mib)),
        (other, _) => other.name().to_owned(),
    };
    let cpu = match spec.accelerator {
        Accelerator::Kvm | Accelerator::Hvf => "host",
        Accelerator::Whpx | Accelerator::Tcg => "max",
    };
    line.option("-accel", &accelerator).option("-cpu", cpu);
    let size = spec.memory_mib;
    let backend = match &spec.memory {
        // Shared memory is what vhost-user needs; only Linux has memfd.
        Memory::Empty => {
            cfg!(target_os = "linux").then(|| format!("memory-backend-memfd,id=mem,size={size}M,share=on"))
        }
        Memory::Kept(file) => {
            Some(format!("memory-backend-file,id=mem,size={size}M,share=on,mem-path={}", escaped(file)))
        }
        Memory::Copied { memory, .. } => Some(format!(
            "memory-backend-file,id=mem,size={size}M,share=off,readonly=on,rom=off,mem-path={}",
            escaped(memory)
        )),
    };
    if let Some(backend) = backend {
        line.option("-M", &format!("q35,memory-backend=mem,{OMITTED}")).option("-object", &backend);
    } else {
        line.option("-M", &format!("q35,{OMITTED}"));
    }
    line.option("-m", &spec.memory_mib.to_string()).option("-smp", &spec.cpus.to_string());
}

/// Room for a copy's translated code.
fn code_mib(memory_mib: u64) -> u64 {
    (memory_mib * COPYS_CODE_MIB / 256).clamp(COPYS_CODE_MIB, MOST_CODE_MIB)
}

fn kernel_arguments(spec: &MachineSpec, tsc_khz: Option<u32>) -> String {
    let way = match spec.transport {
        Kind::Serial => "serial",
        Kind::Vsock | Kind::VhostUser | Kind::Memory => "vsock",
    };
    let voice = if spec.talkative { "" } else { " quiet" };
    // A translated guest reads the host's counter; measured by itself, its clock ran seven times too fast.
    let clock = match (spec.accelerator, tsc_khz) {
        (Accelerator::Tcg, Some(khz)) => format!(" tsc_early_khz={khz}"),
        _ => String::new(),
    };
    // What a translated guest executes is not what the host's processor speculates about; the guards against that are
    // only so many more instructions to translate. And memory that every allocation clears, against faults of the kernel
    // that would show it, is a third of what a system call with a path takes there.
    let guards = match spec.accelerator {
        Accelerator::Tcg => " mitigations=off init_on_alloc=0",
        _ => "",
    };
    let data = if spec.memory == Memory::Empty { "" } else { " coracle.data=later" };
    format!(
        "console=ttyS0{voice} panic=-1 8250.nr_uarts=1 random.trust_cpu=on no_timer_check tsc=reliable{clock} \
         cryptomgr.notests audit=0 lsm=landlock,yama initcall_blacklist={UNUSED_INITCALLS} coracle.transport={way}{data}{guards}"
    )
}

/// The way to the agent. Behind a root port, so that it can be unplugged.
fn link(line: &mut Line, spec: &MachineSpec, sockets: &Sockets) {
    line.option("-device", &format!("pcie-root-port,id={LINK_BUS},chassis=1,slot=1"));
    match spec.transport {
        Kind::VhostUser => {
            line.chardev(&format!("socket,id={LINK_CHARDEV},path="), &sockets.vhost(), "");
            line.option(
                "-device",
                &format!("{LINK_DRIVER},chardev={LINK_CHARDEV},id={LINK_DEVICE},bus={LINK_BUS}"),
            );
        }
        Kind::Vsock => {
            let cid = sockets.cid();
            line.option(
                "-device",
                &format!("vhost-vsock-pci,guest-cid={cid},id={LINK_DEVICE},bus={LINK_BUS}"),
            );
        }
        Kind::Serial => {
            line.chardev(mux_chardev(), &sockets.mux(), control_suffix());
            line.option("-device", &format!("virtio-serial-pci,id={LINK_DEVICE},bus={LINK_BUS},max_ports=2"));
            line.option(
                "-device",
                &format!("virtserialport,bus={LINK_DEVICE}.0,chardev=mux,name={MUX_PORT}"),
            );
        }
        Kind::Memory => {}
    }
}

fn control_chardev() -> &'static str {
    if cfg!(windows) { "pipe,id=qmp,path=" } else { "socket,id=qmp,path=" }
}

fn mux_chardev() -> &'static str {
    if cfg!(windows) { "pipe,id=mux,path=" } else { "socket,id=mux,path=" }
}

fn control_suffix() -> &'static str {
    if cfg!(windows) { "" } else { ",server=on,wait=off" }
}

#[derive(Default)]
struct Line(Vec<OsString>);

impl Line {
    fn flags(&mut self, flags: &[&str]) {
        self.0.extend(flags.iter().map(OsString::from));
    }

    fn option(&mut self, name: &str, value: &str) -> &mut Self {
        self.0.extend([name.into(), value.into()]);
        self
    }

    fn path(&mut self, name: &str, value: &Path) -> &mut Self {
        self.0.extend([name.into(), value.into()]);
        self
    }

    fn chardev(&mut self, before: &str, path: &Path, after: &str) -> &mut Self {
        self.option("-chardev", &format!("{before}{}{after}", escaped(path)))
    }

    /// A raw file as a block device that the guest finds by its serial.
    fn disk(&mut self, name: &str, file: &Path, options: &str) {
        let file = serde_json::Value::from(file.to_string_lossy());
        let blockdev =
            format!(r#"{{"driver":"file","node-name":"disk-{name}","filename":{file},{options}}}"#);
        self.option("-blockdev", &blockdev)
            .option("-device", &format!("virtio-blk-pci,drive=disk-{name},serial={name}"));
    }
}

/// In QEMU's key=value lists a comma in a value is written twice.
fn escaped(path: &Path) -> String {
    let path = path.to_string_lossy();
    // QEMU's pipes take the name without the prefix that everyone else writes.
    let path = path.strip_prefix(r"\\.\pipe\").unwrap_or(&path);
    path.replace(',', ",,")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(accelerator: Accelerator, transport: Kind) -> MachineSpec {
        MachineSpec {
            kernel: "/a/vmlinux".into(),
            initramfs: "/a/initramfs.img".into(),
            root_disk: "/a/root.erofs".into(),
            layer_disk: "/h/images/layers.raw".into(),
            data_disk: "/h/disks/da\"ta,1.raw".into(),
            memory_mib: 2048,
            memory: Memory::Empty,
            cpus: 2,
            accelerator,
            transport,
            run_dir: "/h/ru,n/vm".into(),
            console_log: "/h/log/console.log".into(),
            talkative: false,
        }
    }

    fn text(spec: &MachineSpec, sandbox: Option<&str>) -> String {
        let arguments: Vec<_> =
            arguments(spec, sandbox, Some(2_600_000)).into_iter().map(|a| a.into_string().unwrap()).collect();
        format!(" {} ", arguments.join(" "))
    }

    #[test]
    fn what_each_choice_brings() {
        let table: &[(Accelerator, Kind, &[&str], &[&str])] = &[
            (
                Accelerator::Tcg,
                Kind::VhostUser,
                &[
                    " -accel tcg,thread=multi -cpu max ",
                    " -chardev socket,id=vsockd,path=/h/ru,,n/vm/vhost.sock ",
                    " -device vhost-user-vsock-pci,chardev=vsockd,id=vsock,bus=link ",
                    " tsc_early_khz=2600000 ",
                    " coracle.transport=vsock ",
                    " -chardev socket,id=qmp,path=/h/ru,,n/vm/qmp.sock,server=on,wait=off ",
                ],
                &["virtserialport", "vhost-vsock-pci"],
            ),
            (
                Accelerator::Kvm,
                Kind::Vsock,
                &[
                    " -accel kvm -cpu host ",
                    " -device vhost-vsock-pci,guest-cid=",
                    " coracle.transport=vsock ",
                ],
                &["vhost-user", "virtserialport", "tsc_early_khz"],
            ),
            (
                Accelerator::Tcg,
                Kind::Serial,
                &[
                    " -device virtserialport,bus=vsock.0,chardev=mux,name=coracle.mux ",
                    " coracle.transport=serial ",
                    " -chardev socket,id=mux,path=/h/ru,,n/vm/mux.sock,server=on,wait=off ",
                ],
                &["vhost"],
            ),
        ];
        for (accelerator, kind, present, absent) in table {
            let text = text(&spec(*accelerator, *kind), None);
            for part in *present {
                assert!(text.contains(part), "{accelerator} {kind}: {part:?} not in {text}");
            }
            for part in *absent {
                assert!(!text.contains(part), "{accelerator} {kind}: {part:?} in {text}");
            }
        }
    }

    #[test]
    fn copies_have_the_devices_of_what_was_saved() {
        let devices = |memory| {
            let spec = MachineSpec { memory, ..spec(Accelerator::Tcg, Kind::Serial) };
            let arguments = arguments(&spec, None, None);
            let text: Vec<_> = arguments.into_iter().map(|a| a.into_string().unwrap()).collect();
            let boot = ["-object", "-incoming", "-kernel", "-initrd", "-append"];
            let differs = |pair: &&[String]| boot.contains(&pair[0].as_str());
            let pairs = text.windows(2).filter(|pair| pair[0].starts_with('-'));
            pairs.filter(|pair| !differs(pair)).map(<[String]>::to_vec).collect::<Vec<_>>()
        };
        let copied = Memory::Copied { memory: "/t/ram".into(), state: "/t/state".into() };
        assert_eq!(devices(Memory::Kept("/t/ram".into())), devices(copied.clone()));
        let spec = MachineSpec { memory: copied, ..spec(Accelerator::Tcg, Kind::Serial) };
        let text = text(&spec, None);
        assert!(text.contains("share=off,readonly=on,rom=off,mem-path=/t/ram "), "{text}");
        assert!(text.contains(" -incoming defer ") && !text.contains("-kernel"), "{text}");
        assert!(text.contains(",tb-size=192 "), "{text}");
        assert_eq!(text.matches("pcie-root-port,id=spare").count(), COPYS_PORTS as usize);
        assert_eq!([64, 256, 512, 65_536].map(code_mib), [24, 24, 48, 256]);
    }

    #[test]
    fn disks_survive_hostile_names() {
        let text = text(&spec(Accelerator::Tcg, Kind::Serial), None);
        assert!(text.contains(
            r#"{"driver":"file","node-name":"disk-data","filename":"/h/disks/da\"ta,1.raw","discard":"unmap"}"#
        ));
        for serial in ["root", "layers", "data"] {
            assert!(text.contains(&format!(" virtio-blk-pci,drive=disk-{serial},serial={serial} ")));
        }
    }

    #[test]
    fn the_kernel_speaks_only_when_it_must() {
        let mut spec = spec(Accelerator::Kvm, Kind::Serial);
        assert!(text(&spec, None).contains(" quiet "));
        spec.talkative = true;
        assert!(!text(&spec, None).contains(" quiet "));
    }

    #[test]
    fn the_sandbox_is_as_probed() {
        let spec = spec(Accelerator::Tcg, Kind::Serial);
        assert!(text(&spec, Some("on,spawn=deny")).contains(" -sandbox on,spawn=deny "));
        assert!(!text(&spec, None).contains("-sandbox"));
    }
}
