//! The types as TypeScript, for the page of the desktop app.

use ts_rs::TS;

use crate::{isolation as i, report as r, verdict as v};

/// A declaration of each type that the report and its events are made of.
#[must_use]
pub fn declarations() -> Vec<String> {
    macro_rules! declared {
        ($($module:ident::$name:ident)+) => { vec![$($module::$name::decl()),+] };
    }
    declared!(
        r::Report r::Host r::MainVm r::Note r::Starts r::Times r::Round r::How r::Costs r::Cost r::Step r::Fits r::Fit
        r::Loop r::WorkRow r::Sides r::Side r::Inside r::Pids r::ProbeRow r::Crash r::Stage r::Event
        v::Probe v::Mechanism v::Outcome v::Finding
        i::Isolation i::Runtime i::Kernel i::FirstProcess i::Namespace i::Relation i::ControlGroup i::Capabilities
        i::Seccomp i::SeccompMode i::SeccompProfile i::Mount i::DeviceNode i::DeviceRule i::CoveredPath i::Users
        i::IdRange i::VmSide i::VmProcess i::VmDevice
    )
}
