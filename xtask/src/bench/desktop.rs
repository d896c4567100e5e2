//! The desktop app: how soon it is there, how smoothly a long list goes, how soon it shows what others do, what it takes.

use super::host::Host;
use super::series::{Bar, Row, Series, Unit};
use super::window::{Page, Screen};
use crate::{process, tree::Tree};
use anyhow::{Context, Result};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

const START_MOST: f64 = 1.5;
const FRAME_MOST: f64 = 0.050;
const SHOWN_MOST: f64 = 0.300;
const LOG_FRAME_MOST: f64 = 0.200;
const MEMORY_MOST: f64 = 400.0 * 1_048_576.0;
const GROWTH_MOST: f64 = 1.1;
const IMAGE: &str = "coracle/hello";
/// In the list that is scrolled.
const CONTAINERS: usize = 500;
const SOON: Duration = Duration::from_secs(20);
/// 20 MB in 10 s, in lines of 100 bytes, a fifth of a second's at a time.
const LOG: &str = "line=$(printf '%099d' 7); i=0; while [ $i -lt 50 ]; do yes $line | head -n 4000; i=$((i+1)); sleep 0.2; done; sleep 1000000";
/// A quiet service's log, for the soak.
const CHATTER: &str = "while true; do i=$((i+1)); echo request $i served; sleep 0.1; done";

/// Measures all but the soak.
pub(super) fn rows(tree: &Tree, host: &Host, rounds: usize) -> Result<[Row; 5]> {
    let screen = Screen::new(tree, host.home())?;
    welcome(&screen)?;
    // Whoever looks for the first time looks at few.
    let few = create(host, 20)?;
    let start = start(&screen, few.len(), rounds)?;
    let page = screen.open()?;
    page.click("[data-testid='nav-containers']")?;
    let shown = shown(host, &page, rounds)?;
    let logs = logs(host, &page)?;
    let memory = page.memory_bytes()?;

    let many = create(host, CONTAINERS - few.len())?;
    page.click("[data-testid='nav-containers']")?;
    page.until(&format!("{COUNT} === '{CONTAINERS}'"), SOON)?;
    let list = frames(&page, &scroll(160))?;
    let slowly = frames(&page, &scroll(16))?;
    let filter = frames(&page, FILTER)?;
    drop(page);
    for some in few.iter().chain(&many).collect::<Vec<_>>().chunks(100) {
        let words: Vec<&str> = ["rm"].into_iter().chain(some.iter().map(|id| id.as_str())).collect();
        process::output(&mut host.docker(&words))?;
    }
    let row = |id, what: &str, unit, ours, most| Row {
        id,
        what: what.to_owned(),
        unit,
        ours,
        bar: Bar::Most(most),
        notes: Vec::new(),
    };
    let mut smooth =
        row("desktop-list", "500 containers: longest frame, scrolled", Unit::Seconds, list.0, FRAME_MOST);
    smooth.notes.push(format!("typing into the search: longest frame {}", filter.0.shown(Unit::Seconds)));
    smooth.notes.push(format!("a tenth as fast: longest frame {}", slowly.0.shown(Unit::Seconds)));
    for (what, frames) in [("scrolled", &list.1), ("slowly", &slowly.1), ("typed", &filter.1)] {
        smooth.notes.push(format!("{what}: {frames}"));
    }
    Ok([
        row("desktop-start", "desktop: opened to a complete list", Unit::Seconds, start, START_MOST),
        smooth,
        row("desktop-shown", "desktop: docker run to its row in the list", Unit::Seconds, shown, SHOWN_MOST),
        row(
            "desktop-logs",
            "desktop: longest frame, 20 MB of log in 10 s",
            Unit::Seconds,
            logs,
            LOG_FRAME_MOST,
        ),
        row(
            "desktop-memory",
            "desktop: shell and web processes, PSS",
            Unit::Bytes,
            Series::of(memory),
            MEMORY_MOST,
        ),
    ])
}

/// Minutes with a log and charts open: what the app takes at the end, against what it took after the first minute.
pub(super) fn soak(tree: &Tree, host: &Host, minutes: u64) -> Result<Row> {
    let screen = Screen::new(tree, host.home())?;
    welcome(&screen)?;
    let container = host.said(&["run", "--detach", "--name", "chatter", IMAGE, "sh", "-c", CHATTER])?;
    let page = screen.open()?;
    open_container(&page, "chatter", "logs")?;
    let minute = Duration::from_secs(60);
    let mut each = Vec::new();
    for at in 0..minutes {
        // Turn by turn: what is left is opened anew.
        page.click(&format!("[data-testid='tab-{}']", if at % 2 == 0 { "logs" } else { "stats" }))?;
        std::thread::park_timeout(minute);
        each.push(page.memory_bytes()?);
    }
    drop(page);
    process::output(&mut host.docker(&["rm", "--force", &container]))?;
    let (first, last) = (each.first().copied().unwrap_or(f64::NAN), each.last().copied().unwrap_or(f64::NAN));
    let shown: Vec<String> = each.iter().map(|bytes| format!("{:.0}", bytes / 1_048_576.0)).collect();
    Ok(Row {
        id: "desktop-soak",
        what: format!("desktop: memory after {minutes} minutes of logs and charts"),
        unit: Unit::Bytes,
        ours: Series::of(last),
        bar: Bar::Ratio { reference: Series::of(first), most: GROWTH_MOST },
        notes: vec![format!("PSS at the end of each minute, MiB: {}", shown.join(" "))],
    })
}

/// The count of containers in the sidebar: there as soon as the list is.
const COUNT: &str = "document.querySelector(\"[data-testid='nav-containers'] .count\")?.textContent";

/// The first run is seen once, so that it is not what is measured.
fn welcome(screen: &Screen) -> Result<()> {
    let page = screen.open()?;
    page.click("[data-testid='welcome-done']")?;
    page.until("document.querySelector(\"[data-testid='vm-panel']\")", SOON).map(drop)
}

fn create(host: &Host, count: usize) -> Result<Vec<String>> {
    (0..count).map(|_| host.said(&["create", IMAGE, "sleep", "1000000"])).collect()
}

/// From the request to open the app until its page knows every container. The driver's part is in it.
fn start(screen: &Screen, containers: usize, rounds: usize) -> Result<Series> {
    let mut series = Series::default();
    for _ in 0..rounds {
        let since = Instant::now();
        let page = screen.open()?;
        let there = page.until(&format!("{COUNT} === '{containers}'"), SOON)?;
        series.add((there - since).as_secs_f64());
    }
    Ok(series)
}

/// From the engine's time of a container's creation until its row is in the page.
fn shown(host: &Host, page: &Page<'_>, rounds: usize) -> Result<Series> {
    let mut series = Series::default();
    for round in 0..rounds {
        let name = format!("shown-{round}");
        page.script(&format!(
            "window.shown = undefined;
             const row = () => document.querySelector({});
             const watch = new MutationObserver(() => {{ if (row()) {{ window.shown = Date.now(); watch.disconnect(); }} }});
             watch.observe(document.body, {{ childList: true, subtree: true, attributes: true }});",
            json!(format!("[data-testid='container-row'][data-name='{name}']"))
        ))?;
        host.said(&["run", "--detach", "--name", &name, IMAGE, "sleep", "1000000"])?;
        page.until("window.shown", SOON)?;
        let at_ms = page.script("return window.shown")?.as_f64().context("no time of the row")?;
        let created = host.ask("GET", &format!("/containers/{name}/json"))?;
        let created = created["Created"].as_str().context("no time of creation")?.to_owned();
        let date = page.script(&format!("return Date.parse({})", json!(created)))?;
        series.add((at_ms - date.as_f64().context("the time of creation is none")?) / 1_000.0);
        process::output(&mut host.docker(&["rm", "--force", &name]))?;
    }
    Ok(series)
}

/// The longest frame while much is logged and shown.
fn logs(host: &Host, page: &Page<'_>) -> Result<Series> {
    let container = host.said(&["run", "--detach", "--name", "loud", IMAGE, "sh", "-c", LOG])?;
    open_container(page, "loud", "logs")?;
    page.until("document.querySelector(\"[data-testid='logs-output']\")?.textContent.includes('7')", SOON)?;
    let (longest, _) = frames(page, "if (performance.now() - began > 10000) return true;")?;
    process::output(&mut host.docker(&["rm", "--force", &container]))?;
    Ok(longest)
}

fn open_container(page: &Page<'_>, name: &str, tab: &str) -> Result<()> {
    page.click("[data-testid='nav-containers']")?;
    page.click(&format!("[data-name='{name}'] [data-testid='container-open']"))?;
    page.click(&format!("[data-testid='tab-{tab}']"))
}

/// A frame's part of scrolling down and up again, so many pixels for each; at 160 some 180 rows go by in a second.
fn scroll(pixels: u32) -> String {
    format!(
        "const list = document.querySelector('[role=list]');
         const end = list.scrollHeight - list.clientHeight;
         const way = count * {pixels};
         list.scrollTop = way < end ? way : Math.max(0, 2 * end - way);
         return way > 2 * end;"
    )
}

/// A letter more or less at every tenth frame.
const FILTER: &str = "
    const field = document.querySelector(\"[data-testid='containers-search']\");
    const words = ['', 'h', 'he', 'hel', 'hell', 'hello', 'hell', 'hel', 'he', 'h', ''];
    if (count % 10 === 0) {
      field.value = words[(count / 10) % words.length];
      field.dispatchEvent(new Event('input', { bubbles: true }));
    }
    return count > 10 * words.length * 2;";

/// Runs a body at each frame until it returns true; the longest time between two frames, and a word on all of them.
fn frames(page: &Page<'_>, body: &str) -> Result<(Series, String)> {
    let told = page.later(&format!(
        "const began = performance.now();
         const step = (count) => {{ {body} }};
         const times = [];
         let last;
         const frame = (now) => {{
           if (last !== undefined) times.push(now - last);
           last = now;
           if (step(times.length)) done(times); else requestAnimationFrame(frame);
         }};
         requestAnimationFrame(frame);"
    ))?;
    let times: Vec<f64> = told.as_array().context("no times")?.iter().filter_map(Value::as_f64).collect();
    let longest = times.iter().copied().fold(0.0, f64::max);
    let slow = times.iter().enumerate().filter(|(_, ms)| **ms > 1_000.0 * FRAME_MOST);
    let slow: Vec<String> = slow.map(|(at, ms)| format!("{ms:.0} ms at {at}")).collect();
    let slow = if slow.is_empty() { "none".to_owned() } else { slow.join(", ") };
    Ok((Series::of(longest / 1_000.0), format!("{} frames, too long {slow}", times.len())))
}
