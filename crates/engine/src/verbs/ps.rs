//! The output of `ps` (procps, `man 1 ps`), made of what the guest tells of its processes. Times are in UTC:
//! the VM has no other zone.

use agent_proto::v1::ProcessInfo;
use jiff::Timestamp;

use super::Refusal;

/// What a column shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Field {
    Pid,
    Ppid,
    Uid,
    User,
    Gid,
    Group,
    Pgid,
    Sid,
    Tty,
    State,
    Stat,
    Nice,
    Priority,
    VirtualKib,
    ResidentKib,
    Pages,
    Cpu,
    CpuShort,
    Elapsed,
    ElapsedSeconds,
    Started,
    StartedLong,
    CpuPercent,
    CpuWhole,
    MemoryPercent,
    Threads,
    Command,
    Arguments,
    Flags,
    WaitsIn,
    Nothing,
}

/// One column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Column {
    pub(super) title: String,
    field: Field,
}

/// When it is shown, and what shares are counted of.
#[derive(Debug, Clone, Copy)]
pub(super) struct When {
    pub(super) now_unix_ms: i64,
    pub(super) memory_bytes: u64,
}

/// Names of `-o`, their titles and fields.
const NAMES: &[(&[&str], &str, Field)] = &[
    (&["pid", "tgid"], "PID", Field::Pid),
    (&["ppid"], "PPID", Field::Ppid),
    (&["uid", "euid"], "UID", Field::Uid),
    (&["user", "uname"], "USER", Field::User),
    (&["euser"], "EUSER", Field::User),
    (&["ruser"], "RUSER", Field::User),
    (&["gid", "egid"], "GID", Field::Gid),
    (&["group"], "GROUP", Field::Group),
    (&["egroup"], "EGROUP", Field::Group),
    (&["rgroup"], "RGROUP", Field::Group),
    (&["pgid"], "PGID", Field::Pgid),
    (&["pgrp"], "PGRP", Field::Pgid),
    (&["sid"], "SID", Field::Sid),
    (&["sess", "session"], "SESS", Field::Sid),
    (&["tty", "tt", "tname"], "TT", Field::Tty),
    (&["s", "state"], "S", Field::State),
    (&["stat"], "STAT", Field::Stat),
    (&["ni", "nice"], "NI", Field::Nice),
    (&["pri"], "PRI", Field::Priority),
    (&["vsz", "vsize"], "VSZ", Field::VirtualKib),
    (&["rss", "rssize", "rsz"], "RSS", Field::ResidentKib),
    (&["sz"], "SZ", Field::Pages),
    (&["time", "cputime"], "TIME", Field::Cpu),
    (&["etime"], "ELAPSED", Field::Elapsed),
    (&["etimes"], "ELAPSED", Field::ElapsedSeconds),
    (&["stime"], "STIME", Field::Started),
    (&["start", "start_time", "bsdstart"], "START", Field::Started),
    (&["lstart"], "STARTED", Field::StartedLong),
    (&["pcpu", "%cpu"], "%CPU", Field::CpuPercent),
    (&["c"], "C", Field::CpuWhole),
    (&["pmem", "%mem"], "%MEM", Field::MemoryPercent),
    (&["nlwp", "thcount"], "NLWP", Field::Threads),
    (&["comm", "ucmd", "ucomm"], "COMMAND", Field::Command),
    (&["args", "command"], "COMMAND", Field::Arguments),
    (&["cmd"], "CMD", Field::Arguments),
    (&["f", "flag", "flags"], "F", Field::Flags),
    (&["wchan"], "WCHAN", Field::WaitsIn),
];

fn fixed(columns: &[(&str, Field)]) -> Vec<Column> {
    columns.iter().map(|&(title, field)| Column { title: title.to_owned(), field }).collect()
}

fn error(text: impl Into<String>) -> Refusal {
    Refusal::Ps(format!("error: {}", text.into()))
}

/// The columns that arguments of `ps` ask for.
pub(super) fn columns(arguments: &str) -> Result<Vec<Column>, Refusal> {
    let mut words = arguments.split_ascii_whitespace();
    let mut own: Option<Vec<Column>> = None;
    let mut form: Vec<Column> =
        fixed(&[("PID", Field::Pid), ("TTY", Field::Tty), ("TIME", Field::Cpu), ("CMD", Field::Command)]);
    while let Some(word) = words.next() {
        let (letters, dash) = match word.strip_prefix('-') {
            Some("") => return Err(error("improper list")),
            Some(long) if long.starts_with('-') => match long.strip_prefix("-format") {
                Some(rest) => {
                    let list = rest.strip_prefix('=').or_else(|| words.next());
                    add(&mut own, list.unwrap_or_default())?;
                    continue;
                }
                None if matches!(long, "-forest" | "-cumulative") => continue,
                None => return Err(error("unknown gnu long option")),
            },
            Some(letters) => (letters, true),
            None => (word, false),
        };
        for (at, letter) in letters.char_indices() {
            match (dash, letter) {
                (_, 'o') => {
                    let rest = &letters[at + 1..];
                    let list = if rest.is_empty() { words.next().unwrap_or_default() } else { rest };
                    add(&mut own, list)?;
                    break;
                }
                (true, 'e' | 'A' | 'a' | 'd' | 'w' | 'H') | (false, 'a' | 'x' | 'w' | 'f' | 'e' | 'r') => {}
                (true, 'f') => form = full(),
                (true, 'F') => form = extra_full(),
                (true, 'l') => form = long(),
                (true, 'j') => form = jobs(),
                (_, 'u') if !dash || letters == "u" => form = users(),
                (false, 'l') => form = long(),
                (false, 'j') => form = jobs(),
                (true, _) => return Err(error("unsupported SysV option")),
                (false, _) => return Err(error("unsupported option (BSD syntax)")),
            }
        }
    }
    let columns = own.unwrap_or(form);
    if !columns.iter().any(|column| column.title == "PID") {
        return Err(Refusal::Ps("Couldn't find PID field in ps output".to_owned()));
    }
    Ok(columns)
}

/// A list of `-o`: names divided by commas, the last perhaps with a title of its own.
fn add(own: &mut Option<Vec<Column>>, list: &str) -> Result<(), Refusal> {
    let own = own.get_or_insert_default();
    let mut rest = list;
    if rest.is_empty() {
        return Err(error("improper format list"));
    }
    while !rest.is_empty() {
        let end = rest.find([',', '=']).unwrap_or(rest.len());
        let name = &rest[..end];
        let known = NAMES.iter().find(|(names, ..)| names.contains(&name.to_ascii_lowercase().as_str()));
        let Some(&(_, title, field)) = known else {
            return Err(error(format!("unknown user-defined format specifier \"{name}\"")));
        };
        let (title, next) = match rest[end..].strip_prefix('=') {
            // A title goes to the end of the argument.
            Some(title) if field != Field::Pid && title.trim() == "PID" => {
                return Err(Refusal::Ps(format!("specifying \"{rest}\" is not allowed")));
            }
            Some(title) => (title, ""),
            None => (title, rest.get(end + 1..).unwrap_or_default()),
        };
        own.push(Column { title: title.to_owned(), field });
        rest = next;
    }
    Ok(())
}

fn full() -> Vec<Column> {
    fixed(&[
        ("UID", Field::User),
        ("PID", Field::Pid),
        ("PPID", Field::Ppid),
        ("C", Field::CpuWhole),
        ("STIME", Field::Started),
        ("TTY", Field::Tty),
        ("TIME", Field::Cpu),
        ("CMD", Field::Arguments),
    ])
}

fn extra_full() -> Vec<Column> {
    fixed(&[
        ("UID", Field::User),
        ("PID", Field::Pid),
        ("PPID", Field::Ppid),
        ("C", Field::CpuWhole),
        ("SZ", Field::Pages),
        ("RSS", Field::ResidentKib),
        ("STIME", Field::Started),
        ("TTY", Field::Tty),
        ("TIME", Field::Cpu),
        ("CMD", Field::Arguments),
    ])
}

fn long() -> Vec<Column> {
    fixed(&[
        ("F", Field::Flags),
        ("S", Field::State),
        ("UID", Field::Uid),
        ("PID", Field::Pid),
        ("PPID", Field::Ppid),
        ("C", Field::CpuWhole),
        ("PRI", Field::Priority),
        ("NI", Field::Nice),
        ("ADDR", Field::Nothing),
        ("SZ", Field::Pages),
        ("WCHAN", Field::WaitsIn),
        ("TTY", Field::Tty),
        ("TIME", Field::Cpu),
        ("CMD", Field::Command),
    ])
}

fn jobs() -> Vec<Column> {
    fixed(&[
        ("PID", Field::Pid),
        ("PGID", Field::Pgid),
        ("SID", Field::Sid),
        ("TTY", Field::Tty),
        ("TIME", Field::Cpu),
        ("CMD", Field::Command),
    ])
}

fn users() -> Vec<Column> {
    fixed(&[
        ("USER", Field::User),
        ("PID", Field::Pid),
        ("%CPU", Field::CpuPercent),
        ("%MEM", Field::MemoryPercent),
        ("VSZ", Field::VirtualKib),
        ("RSS", Field::ResidentKib),
        ("TTY", Field::Tty),
        ("STAT", Field::Stat),
        ("START", Field::Started),
        ("TIME", Field::CpuShort),
        ("COMMAND", Field::Arguments),
    ])
}

/// One process.
pub(super) fn row(columns: &[Column], process: &ProcessInfo, when: When) -> Vec<String> {
    columns.iter().map(|column| value(column.field, process, when)).collect()
}

fn value(field: Field, process: &ProcessInfo, when: When) -> String {
    let started_ms = i64::try_from(process.started_unix_ms).unwrap_or(i64::MAX);
    let elapsed_ms = u64::try_from(when.now_unix_ms.saturating_sub(started_ms)).unwrap_or(0);
    let named = |name: &String, id: u32| if name.is_empty() { id.to_string() } else { name.clone() };
    let tenths = |part: u64, whole: u64| part.saturating_mul(1000).checked_div(whole).unwrap_or(0);
    let percent = |tenths: u64| format!("{}.{}", tenths / 10, tenths % 10);
    match field {
        Field::Pid => process.pid.to_string(),
        Field::Ppid => process.ppid.to_string(),
        Field::Uid => process.uid.to_string(),
        Field::User => named(&process.user, process.uid),
        Field::Gid => process.gid.to_string(),
        Field::Group => named(&process.group, process.gid),
        Field::Pgid => process.pgid.to_string(),
        Field::Sid => process.sid.to_string(),
        Field::Tty => process.tty.clone(),
        Field::State => process.state.clone(),
        Field::Stat => stat(process),
        Field::Nice => process.nice.to_string(),
        // ps turns the kernel's number round.
        Field::Priority => (39 - process.priority).to_string(),
        Field::VirtualKib => (process.virtual_bytes / 1024).to_string(),
        Field::ResidentKib => (process.resident_bytes / 1024).to_string(),
        Field::Pages => (process.virtual_bytes / 4096).to_string(),
        Field::Cpu => clock(process.cpu_ms / 1000),
        Field::CpuShort => format!("{}:{:02}", process.cpu_ms / 60_000, process.cpu_ms / 1000 % 60),
        Field::Elapsed => elapsed(elapsed_ms / 1000),
        Field::ElapsedSeconds => (elapsed_ms / 1000).to_string(),
        Field::Started => started(started_ms, when.now_unix_ms),
        Field::StartedLong => strftime(started_ms, "%a %b %e %H:%M:%S %Y"),
        Field::CpuPercent => percent(tenths(process.cpu_ms, elapsed_ms)),
        Field::CpuWhole => (tenths(process.cpu_ms, elapsed_ms) / 10).min(99).to_string(),
        Field::MemoryPercent => percent(tenths(process.resident_bytes, when.memory_bytes)),
        Field::Threads => process.threads.to_string(),
        Field::Command => process.command.clone(),
        Field::Arguments => process.arguments.clone(),
        // Two of the kernel's flags: forked without exec (1), used root's privileges (4).
        Field::Flags => (process.flags >> 6 & 7).to_string(),
        Field::WaitsIn => waits_in(&process.waits_in),
        // ADDR: ps has shown no address for decades.
        Field::Nothing => "-".to_owned(),
    }
}

/// As wide as the column.
fn waits_in(name: &str) -> String {
    let name = name.trim_start_matches(['.', '_']);
    if name.is_empty() { "-".to_owned() } else { name.chars().take(6).collect() }
}

/// The state with its marks.
fn stat(process: &ProcessInfo) -> String {
    let mut stat = process.state.clone();
    match process.nice {
        ..0 => stat.push('<'),
        1.. => stat.push('N'),
        0 => {}
    }
    if process.sid == process.pid {
        stat.push('s');
    }
    if process.threads > 1 {
        stat.push('l');
    }
    stat
}

/// `[dd-]hh:mm:ss`.
fn clock(seconds: u64) -> String {
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
    let time = format!("{hours:02}:{minutes:02}:{:02}", seconds % 60);
    if days > 0 { format!("{days}-{time}") } else { time }
}

/// `[[dd-]hh:]mm:ss`.
fn elapsed(seconds: u64) -> String {
    if seconds >= 3600 { clock(seconds) } else { format!("{:02}:{:02}", seconds / 60, seconds % 60) }
}

fn strftime(unix_ms: i64, format: &str) -> String {
    Timestamp::from_millisecond(unix_ms).map(|time| time.strftime(format).to_string()).unwrap_or_default()
}

/// The hour, or the day, or the year.
fn started(started_ms: i64, now_ms: i64) -> String {
    let format = if now_ms.saturating_sub(started_ms) < 86_400_000 {
        "%H:%M"
    } else if strftime(started_ms, "%Y") == strftime(now_ms, "%Y") {
        "%b%d"
    } else {
        "%Y"
    };
    strftime(started_ms, format)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn titles(arguments: &str) -> Result<String, String> {
        let columns = columns(arguments).map_err(|error| error.to_string())?;
        Ok(columns.iter().map(|c| c.title.as_str()).collect::<Vec<_>>().join(" "))
    }

    #[test]
    fn arguments_choose_columns() {
        for (arguments, expected) in [
            ("-ef", "UID PID PPID C STIME TTY TIME CMD"),
            ("-e -f", "UID PID PPID C STIME TTY TIME CMD"),
            ("aux", "USER PID %CPU %MEM VSZ RSS TTY STAT START TIME COMMAND"),
            ("-eo pid,comm", "PID COMMAND"),
            ("-o pid -o cmd", "PID CMD"),
            ("-o pid,user=WHO", "PID WHO"),
            ("o pid,%cpu", "PID %CPU"),
            ("-e", "PID TTY TIME CMD"),
            ("--format pid,args", "PID COMMAND"),
        ] {
            assert_eq!(titles(arguments).as_deref(), Ok(expected), "{arguments}");
        }
    }

    #[test]
    fn what_ps_does_not_know_is_refused() {
        for (arguments, text) in [
            ("-o comm", "ps: Couldn't find PID field in ps output"),
            ("-eo pid,odd", "ps: error: unknown user-defined format specifier \"odd\""),
            ("-Q", "ps: error: unsupported SysV option"),
            ("aQ", "ps: error: unsupported option (BSD syntax)"),
            ("--odd", "ps: error: unknown gnu long option"),
            ("-o", "ps: error: improper format list"),
            ("-o ppid=PID", "ps: specifying \"ppid=PID\" is not allowed"),
        ] {
            assert_eq!(titles(arguments), Err(text.to_owned()), "{arguments}");
        }
    }

    #[test]
    fn a_row_reads_as_of_ps() {
        let day = 86_400_000;
        let process = ProcessInfo {
            pid: 12,
            ppid: 1,
            uid: 7,
            user: "web".into(),
            sid: 12,
            tty: "?".into(),
            state: "S".into(),
            cpu_ms: 3_661_000,
            started_unix_ms: 10 * day as u64,
            resident_bytes: 2048,
            virtual_bytes: 8192,
            threads: 3,
            command: "nginx".into(),
            arguments: "nginx -g x".into(),
            flags: 0x40_0100,
            waits_in: "do_epoll_wait".into(),
            ..ProcessInfo::default()
        };
        let when = When { now_unix_ms: 10 * day + 7_322_000, memory_bytes: 20480 };
        let show = |arguments| row(&columns(arguments).unwrap(), &process, when).join("|");
        assert_eq!(show("-ef"), "web|12|1|50|00:00|?|01:01:01|nginx -g x");
        assert_eq!(show("aux"), "web|12|50.0|10.0|8|2|?|Ssl|00:00|61:01|nginx -g x");
        assert_eq!(show("-o pid,etime,comm"), "12|02:02:02|nginx");
        assert_eq!(show("-o f,pid,wchan"), "4|12|do_epo");
        let later = When { now_unix_ms: 12 * day, ..when };
        assert_eq!(row(&columns("-o pid,stime").unwrap(), &process, later)[1], "Jan11");
    }
}
