//! The host's time stamp counter, which is what a guest reads where QEMU translates.
#![allow(unsafe_code, reason = "the counter is read by an instruction")]

/// Its frequency. The guest's own attempt to measure it fails on a loaded host, by factors, and its clock
/// then runs wrong by as much.
#[cfg(target_arch = "x86_64")]
pub(super) fn tsc_khz() -> Option<u32> {
    use std::sync::OnceLock;
    use std::time::{Duration, Instant};

    /// Reading two clocks one after the other errs by less than a microsecond, unless interrupted.
    const SPAN: Duration = Duration::from_millis(5);
    static KHZ: OnceLock<Option<u32>> = OnceLock::new();

    // SAFETY: rdtsc is part of every x86_64 processor and has no effect but its result.
    let counter = || unsafe { core::arch::x86_64::_rdtsc() };
    let measure = || {
        let (begun, first) = (Instant::now(), counter());
        while begun.elapsed() < SPAN {
            std::hint::spin_loop();
        }
        let (last, nanoseconds) = (counter(), begun.elapsed().as_nanos());
        let ticks = u128::from(last.checked_sub(first)?);
        u32::try_from(ticks * 1_000_000 / nanoseconds).ok()
    };
    *KHZ.get_or_init(|| {
        let mut all: Vec<u32> = (0..3).filter_map(|_| measure()).collect();
        all.sort_unstable();
        all.get(all.len() / 2).copied()
    })
}

/// Other processors tell their counter's frequency.
#[cfg(not(target_arch = "x86_64"))]
pub(super) fn tsc_khz() -> Option<u32> {
    None
}

#[cfg(test)]
#[cfg(target_arch = "x86_64")]
mod tests {
    #[test]
    fn a_plausible_frequency() {
        let khz = super::tsc_khz().unwrap();
        assert!((200_000..20_000_000).contains(&khz), "{khz}");
    }
}
