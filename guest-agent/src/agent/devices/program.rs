//! From device rules to an eBPF program for `BPF_PROG_TYPE_CGROUP_DEVICE`: zero denies, one allows. The last rule
//! that fits decides, so the program asks in reverse.
//!
//! The kernel hands over (type and access, major, minor): see `struct bpf_cgroup_dev_ctx`.

use oci_spec::runtime::{LinuxDeviceCgroup, LinuxDeviceType};

const BLOCK: i32 = 1;
const CHARACTER: i32 = 2;
const MAKE: i32 = 1;
const READ: i32 = 2;
const WRITE: i32 = 4;
const ALL: i32 = MAKE | READ | WRITE;

const CONTEXT: u8 = 1;
const KIND: u8 = 2;
const ACCESS: u8 = 3;
const MAJOR: u8 = 4;
const MINOR: u8 = 5;
const SPARE: u8 = 6;

const LOAD_WORD: u8 = 0x61;
const AND: u8 = 0x54;
const SHIFT_RIGHT: u8 = 0x74;
const COPY: u8 = 0xbc;
const SET: u8 = 0xb7;
const UNLESS_VALUE: u8 = 0x55;
const IF_VALUE: u8 = 0x15;
const EXIT: u8 = 0x95;

/// One step: code, registers (target low, source high), offset, number.
#[derive(Debug, Clone, Copy)]
struct Step(u8, u8, i16, i32);

fn registers(target: u8, source: u8) -> u8 {
    target | (source << 4)
}

fn access_of(rule: &LinuxDeviceCgroup) -> i32 {
    let Some(text) = rule.access().as_deref() else { return ALL };
    text.chars().fold(0, |bits, letter| {
        bits | match letter {
            'r' => READ,
            'w' => WRITE,
            'm' => MAKE,
            _ => 0,
        }
    })
}

fn answer(allow: bool) -> [Step; 2] {
    [Step(SET, 0, 0, i32::from(allow)), Step(EXIT, 0, 0, 0)]
}

/// The steps of one rule; each test that fails leads behind them.
fn steps_of(rule: &LinuxDeviceCgroup) -> Vec<Step> {
    let mut tests = Vec::new();
    let mut unless = |register: u8, value: i32| tests.push(Step(UNLESS_VALUE, register, 0, value));
    match rule.typ() {
        Some(LinuxDeviceType::B) => unless(KIND, BLOCK),
        Some(LinuxDeviceType::C | LinuxDeviceType::U) => unless(KIND, CHARACTER),
        _ => {}
    }
    let number = |n: Option<i64>| n.filter(|&n| n >= 0).and_then(|n| i32::try_from(n).ok());
    if let Some(major) = number(rule.major()) {
        unless(MAJOR, major);
    }
    if let Some(minor) = number(rule.minor()) {
        unless(MINOR, minor);
    }
    let access = access_of(rule);
    if access != ALL {
        tests.push(Step(COPY, registers(SPARE, ACCESS), 0, 0));
        if rule.allow() {
            // Nothing beyond what is allowed.
            tests.push(Step(AND, SPARE, 0, ALL & !access));
            tests.push(Step(UNLESS_VALUE, SPARE, 0, 0));
        } else {
            tests.push(Step(AND, SPARE, 0, access));
            tests.push(Step(IF_VALUE, SPARE, 0, 0));
        }
    }
    let length = tests.len();
    for (at, step) in tests.iter_mut().enumerate() {
        if matches!(step.0, UNLESS_VALUE | IF_VALUE) {
            // Over the tests that follow and the answer.
            step.2 = i16::try_from(length - at - 1 + 2).unwrap_or(i16::MAX);
        }
    }
    tests.extend(answer(rule.allow()));
    tests
}

fn is_of_all(rule: &LinuxDeviceCgroup) -> bool {
    matches!(rule.typ(), None | Some(LinuxDeviceType::A))
        && rule.major().is_none_or(|n| n < 0)
        && rule.minor().is_none_or(|n| n < 0)
        && access_of(rule) == ALL
}

/// The program; none when everything is allowed.
pub(super) fn of(rules: &[LinuxDeviceCgroup]) -> Option<Vec<u8>> {
    // What comes before a rule for everything has no say.
    let begin = rules.iter().rposition(is_of_all);
    let allowed = begin.is_none_or(|at| rules[at].allow());
    let rules = &rules[begin.map_or(0, |at| at + 1)..];
    if allowed && rules.iter().all(LinuxDeviceCgroup::allow) {
        return None;
    }
    let mut steps = vec![
        Step(LOAD_WORD, registers(KIND, CONTEXT), 0, 0),
        Step(AND, KIND, 0, 0xffff),
        Step(LOAD_WORD, registers(ACCESS, CONTEXT), 0, 0),
        Step(SHIFT_RIGHT, ACCESS, 0, 16),
        Step(LOAD_WORD, registers(MAJOR, CONTEXT), 4, 0),
        Step(LOAD_WORD, registers(MINOR, CONTEXT), 8, 0),
    ];
    for rule in rules.iter().rev() {
        steps.extend(steps_of(rule));
    }
    steps.extend(answer(allowed));
    let mut bytes = Vec::with_capacity(steps.len() * 8);
    for Step(code, registers, offset, number) in steps {
        bytes.extend([code, registers]);
        bytes.extend(offset.to_ne_bytes());
        bytes.extend(number.to_ne_bytes());
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the kernel would answer.
    fn run(program: &[u8], kind: u32, access: u32, major: u32, minor: u32) -> u64 {
        let mut registers = [0u64; 11];
        let context = [(access << 16) | kind, major, minor];
        let mut at = 0usize;
        loop {
            let step = &program[at * 8..at * 8 + 8];
            let (target, source) = (usize::from(step[1] & 15), usize::from(step[1] >> 4));
            let offset = i16::from_ne_bytes([step[2], step[3]]);
            let number = i32::from_ne_bytes([step[4], step[5], step[6], step[7]]);
            let skip = usize::try_from(offset).unwrap_or(0);
            at += 1;
            match step[0] {
                LOAD_WORD => registers[target] = context[skip / 4].into(),
                AND => registers[target] &= u64::from(number as u32),
                SHIFT_RIGHT => registers[target] = u64::from(registers[target] as u32 >> number),
                COPY => registers[target] = registers[source],
                SET => registers[target] = number as u64,
                UNLESS_VALUE if registers[target] != number as u64 => at += skip,
                IF_VALUE if registers[target] == number as u64 => at += skip,
                UNLESS_VALUE | IF_VALUE => {}
                EXIT => return registers[0],
                other => panic!("unknown step {other:#x}"),
            }
        }
    }

    fn rules(json: &str) -> Vec<LinuxDeviceCgroup> {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn dockers_rules_by_table() {
        let program = of(&rules(
            r#"[{"allow":false,"access":"rwm"},{"allow":true,"type":"c","access":"m"},
                {"allow":true,"type":"b","access":"m"},{"allow":true,"type":"c","major":1,"minor":3,"access":"rwm"},
                {"allow":true,"type":"c","major":136,"access":"rwm"},{"allow":true,"type":"b","major":8,"access":"r"}]"#,
        ))
        .unwrap();
        let (block, character) = (1, 2);
        let (make, read, write) = (1, 2, 4);
        for (kind, access, major, minor, expected) in [
            (character, read | write, 1, 3, 1),
            (character, read, 1, 1, 0),
            (character, make, 1, 1, 1),
            (character, make | read, 1, 1, 0),
            (character, read | write, 136, 7, 1),
            (block, read | write, 1, 3, 0),
            (block, read, 8, 5, 1),
            (block, write, 8, 5, 0),
            (block, read | write, 8, 0, 0),
            (block, read, 253, 0, 0),
        ] {
            let found = run(&program, kind, access, major, minor);
            assert_eq!(found, expected, "{kind} {access} {major}:{minor}");
        }
    }

    #[test]
    fn what_allows_everything_needs_no_program() {
        assert!(of(&rules(r#"[{"allow":true,"access":"rwm"}]"#)).is_none());
        assert!(of(&rules(r#"[{"allow":false},{"allow":true,"type":"a"}]"#)).is_none());
        assert!(of(&[]).is_none());
        let program =
            of(&rules(r#"[{"allow":true},{"allow":false,"type":"b","major":8,"access":"w"}]"#)).unwrap();
        assert_eq!(
            (run(&program, 1, 4, 8, 0), run(&program, 1, 2, 8, 0), run(&program, 1, 6, 8, 0)),
            (0, 1, 0)
        );
    }
}
