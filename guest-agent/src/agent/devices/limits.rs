//! What a container may do to the guest's block devices.

use std::fs;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::Path;

use agent_proto::v1;
use agent_proto::v1::error_detail::Code;
use nix::sys::stat::{major, minor};
use oci_spec::runtime::{LinuxBlockIo, LinuxThrottleDevice, LinuxThrottleDeviceBuilder, Spec};

use crate::agent::failure::Failure;
use crate::paths;

fn throttle(limit: &v1::BlockLimit) -> Result<LinuxThrottleDevice, Failure> {
    let fail = |why: &str| Failure::new(Code::NoSuchPath, format_args!("stat {}: {why}", limit.path));
    let meta = fs::metadata(&limit.path).map_err(|_| fail("no such file or directory"))?;
    if !meta.file_type().is_block_device() {
        return Err(fail("not a block device"));
    }
    let number = |n: u64| i64::try_from(n).unwrap_or(0);
    LinuxThrottleDeviceBuilder::default()
        .major(number(major(meta.rdev())))
        .minor(number(minor(meta.rdev())))
        .rate(limit.rate)
        .build()
        .map_err(|error| Failure::new(Code::BadSpec, error))
}

/// Puts the limits into the spec, and takes a weight out that the kernel has no file for.
pub(super) fn complete(spec: &mut Spec, limits: &[v1::BlockLimit]) -> Result<(), Failure> {
    let Some(linux) = spec.linux_mut() else { return Ok(()) };
    let mut resources = linux.resources().clone().unwrap_or_default();
    let mut block = resources.block_io().clone().unwrap_or_default();
    let group = Path::new(paths::CONTAINERS_CGROUP);
    if let Some(weight) = block.weight()
        && !group.join("io.bfq.weight").exists()
    {
        block.set_weight(None);
        if group.join("io.weight").exists() {
            let mut unified = resources.unified().clone().unwrap_or_default();
            unified.insert("io.weight".to_owned(), io_weight(weight).to_string());
            resources.set_unified(Some(unified));
        } else {
            tracing::info!("this kernel has no weights of block devices");
        }
    }
    let of = |kind: &str| -> Result<Option<Vec<LinuxThrottleDevice>>, Failure> {
        let its = limits.iter().filter(|limit| limit.kind == kind);
        let its = its.map(throttle).collect::<Result<Vec<_>, _>>()?;
        Ok((!its.is_empty()).then_some(its))
    };
    block.set_throttle_read_bps_device(of("read_bps")?);
    block.set_throttle_write_bps_device(of("write_bps")?);
    block.set_throttle_read_iops_device(of("read_iops")?);
    block.set_throttle_write_iops_device(of("write_iops")?);
    resources.set_block_io(Some(block).filter(|block| *block != LinuxBlockIo::default()));
    linux.set_resources(Some(resources));
    Ok(())
}

/// From 10 to 1000 into 1 to 10000, as runc; libcontainer's own way overflows.
fn io_weight(weight: u16) -> u32 {
    1 + u32::from(weight.saturating_sub(10)) * 9999 / 990
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_are_stretched() {
        assert_eq!([10, 300, 1000].map(io_weight), [1, 2930, 10_000]);
    }
}
