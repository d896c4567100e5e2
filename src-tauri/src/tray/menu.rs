//! What the tray's menu says, from what is known. No tray in here.

use client::VmStatus;

use crate::texts::{Texts, filled};

/// As many containers as a menu can show.
const MOST_CONTAINERS: usize = 12;

/// What is known of Coracle.
#[derive(Clone, Debug, Default)]
pub(super) struct Known {
    /// None while coracled does not answer.
    pub(super) vm: Option<VmStatus>,
    /// Those that run, by name.
    pub(super) containers: Vec<Running>,
}

/// A running container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Running {
    pub(super) id: String,
    pub(super) name: String,
}

/// A line of the menu.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Line {
    Text(String),
    Order(Order, String),
    /// A name, and what can be done with it.
    Sub(String, Vec<Line>),
    Rule,
}

/// What a line does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Order {
    Open,
    StartVm,
    StopVm,
    StopContainer(String),
    Quit,
    QuitAndStopVm,
}

impl Order {
    /// As the menu names it.
    pub(super) fn id(&self) -> String {
        match self {
            Self::Open => "open".to_owned(),
            Self::StartVm => "vm-start".to_owned(),
            Self::StopVm => "vm-stop".to_owned(),
            Self::StopContainer(id) => format!("stop {id}"),
            Self::Quit => "quit".to_owned(),
            Self::QuitAndStopVm => "quit-vm".to_owned(),
        }
    }

    pub(super) fn from_id(id: &str) -> Option<Self> {
        Some(match id {
            "open" => Self::Open,
            "vm-start" => Self::StartVm,
            "vm-stop" => Self::StopVm,
            "quit" => Self::Quit,
            "quit-vm" => Self::QuitAndStopVm,
            id => Self::StopContainer(id.strip_prefix("stop ")?.to_owned()),
        })
    }
}

/// The menu.
pub(super) fn lines(known: &Known, texts: &Texts) -> Vec<Line> {
    let vm = known.vm.as_ref();
    let state = match vm {
        None => &texts.service_gone,
        Some(VmStatus::Off) => &texts.vm_off,
        Some(VmStatus::Booting { .. }) => &texts.vm_booting,
        Some(VmStatus::Running { halted: Some(_), .. }) => &texts.vm_halted,
        Some(VmStatus::Running { .. }) => &texts.vm_running,
        Some(VmStatus::Stopping) => &texts.vm_stopping,
        Some(VmStatus::Failed { .. }) => &texts.vm_failed,
        Some(VmStatus::Unknown) => &texts.vm_unknown,
    };
    let runs = vm.is_some_and(VmStatus::is_running);
    let mut lines = vec![Line::Text(state.clone())];
    if matches!(vm, Some(VmStatus::Off | VmStatus::Failed { .. })) {
        lines.push(Line::Order(Order::StartVm, texts.vm_start.clone()));
    }
    if runs {
        lines.push(Line::Order(Order::StopVm, texts.vm_stop.clone()));
        lines.push(Line::Rule);
        if known.containers.is_empty() {
            lines.push(Line::Text(texts.no_containers.clone()));
        } else {
            lines.push(Line::Text(texts.containers.clone()));
        }
        for Running { id, name } in known.containers.iter().take(MOST_CONTAINERS) {
            let stop = Line::Order(Order::StopContainer(id.clone()), texts.stop.clone());
            lines.push(Line::Sub(name.clone(), vec![stop]));
        }
        let more = known.containers.len().saturating_sub(MOST_CONTAINERS);
        if more > 0 {
            lines.push(Line::Text(filled(&texts.more_containers, "count", &more.to_string())));
        }
    }
    lines.extend([
        Line::Rule,
        Line::Order(Order::Open, texts.open.clone()),
        Line::Rule,
        Line::Order(Order::Quit, texts.quit.clone()),
    ]);
    if runs {
        lines.push(Line::Order(Order::QuitAndStopVm, texts.quit_and_stop_vm.clone()));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::texts::Spoken;

    fn orders(known: &Known) -> Vec<Order> {
        fn gather(lines: Vec<Line>, into: &mut Vec<Order>) {
            for line in lines {
                match line {
                    Line::Order(order, _) => into.push(order),
                    Line::Sub(_, lines) => gather(lines, into),
                    Line::Text(_) | Line::Rule => {}
                }
            }
        }
        let mut orders = Vec::new();
        gather(lines(known, &Spoken::default().texts()), &mut orders);
        orders
    }

    #[test]
    fn only_what_can_be_done_is_offered() {
        assert_eq!(orders(&Known::default()), [Order::Open, Order::Quit]);
        let off = Known { vm: Some(VmStatus::Off), containers: Vec::new() };
        assert_eq!(orders(&off), [Order::StartVm, Order::Open, Order::Quit]);
        let running = serde_json::from_str(r#"{"state": "running"}"#).unwrap();
        let web = Running { id: "c1".to_owned(), name: "web".to_owned() };
        let stop = Order::StopContainer("c1".to_owned());
        assert_eq!(
            orders(&Known { vm: Some(running), containers: vec![web] }),
            [Order::StopVm, stop, Order::Open, Order::Quit, Order::QuitAndStopVm]
        );
    }

    #[test]
    fn orders_are_told_by_their_ids() {
        for order in [Order::Open, Order::QuitAndStopVm, Order::StopContainer("abc".to_owned())] {
            assert_eq!(Order::from_id(&order.id()), Some(order));
        }
        assert_eq!(Order::from_id("anything"), None);
    }
}
