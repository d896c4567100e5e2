//! How large a container's own VM is.

use bollard_stubs::models::HostConfig;

/// Without a limit.
const DEFAULT_MEMORY_MIB: u64 = 256;
/// What kernel and agent need beside the container.
const GUEST_MIB: u64 = 96;
/// Sizes are multiples of it, so that one saved guest serves similar limits.
const STEP_MIB: u64 = 64;

/// Memory and processors of a VM.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Size {
    pub(super) memory_mib: u64,
    pub(super) cpus: u32,
}

impl From<Size> for (u64, u32) {
    fn from(size: Size) -> Self {
        (size.memory_mib, size.cpus)
    }
}

/// The container's limits, rounded up, and what the guest itself needs; one processor unless more are asked for.
pub(super) fn of(host: &HostConfig) -> Size {
    let limit_mib = host.memory.and_then(|bytes| u64::try_from(bytes).ok()).unwrap_or(0).div_ceil(1 << 20);
    let memory_mib = match limit_mib {
        0 => DEFAULT_MEMORY_MIB,
        limit => (limit + GUEST_MIB).next_multiple_of(STEP_MIB),
    };
    let nano = host.nano_cpus.filter(|&n| n > 0);
    let quota = host.cpu_quota.filter(|&n| n > 0).map(|quota| {
        let period = host.cpu_period.filter(|&n| n > 0).unwrap_or(100_000);
        quota.saturating_mul(1_000_000_000) / period
    });
    let nano = nano.or(quota).and_then(|n| u64::try_from(n).ok()).unwrap_or(1);
    let most = std::thread::available_parallelism().map_or(1, std::num::NonZero::get) as u64;
    let cpus = nano.div_ceil(1_000_000_000).clamp(1, most);
    Size { memory_mib, cpus: u32::try_from(cpus).unwrap_or(1) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_make_the_size() {
        let of = |memory, nano_cpus| {
            let Size { memory_mib, cpus } = of(&HostConfig { memory, nano_cpus, ..HostConfig::default() });
            (memory_mib, cpus)
        };
        assert_eq!(of(None, None), (256, 1));
        assert_eq!(of(Some(0), Some(0)), (256, 1));
        assert_eq!(of(Some(64 << 20), Some(500_000_000)), (192, 1));
        assert_eq!(of(Some((512 << 20) + 1), None), (640, 1));
        let half = HostConfig { cpu_quota: Some(50_000), ..HostConfig::default() };
        assert_eq!(super::of(&half).cpus, 1);
    }
}
