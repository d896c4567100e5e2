//! The tray: the VM's state, what runs, and orders to both, while the window is closed too.
//!
//! It is made when the system can show one, which on Linux may be later than the app's start or never. Its menu is made
//! anew, off the main thread, when something changed; many changes at once are one.

mod menu;
#[cfg(target_os = "linux")]
mod sys;

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use client::bollard::{
    models::EventMessageTypeEnum,
    query_parameters::{ListContainersOptions, StopContainerOptions},
};
use tauri::{
    AppHandle, Manager as _, Wry,
    menu::{IsMenuItem, Menu, MenuItem, PredefinedMenuItem, Submenu},
    tray::{MouseButton, MouseButtonState, TrayIcon, TrayIconBuilder, TrayIconEvent},
};
use tokio::sync::Notify;

use self::menu::{Known, Line, Order, Running};
use crate::{
    failure::Failure,
    link::{Link, News},
    notify,
    texts::Spoken,
    window,
};

const TRAY: &str = "main";
/// Changes within this time are one.
const SETTLE: Duration = Duration::from_millis(300);

/// Asks for the menu to be made anew.
#[derive(Default)]
pub(crate) struct TrayChanged(Arc<Notify>);

impl TrayChanged {
    pub(crate) fn tell(&self) {
        self.0.notify_one();
    }
}

/// Whether there is a tray that the app could be found in.
pub(crate) fn exists(app: &AppHandle) -> bool {
    app.tray_by_id(TRAY).is_some()
}

/// Keeps a tray for as long as the app runs.
pub(crate) fn start(app: &AppHandle) {
    let known = Arc::new(Mutex::new(Known::default()));
    let changed = Arc::clone(&app.state::<TrayChanged>().0);
    let (heard, wake) = (Arc::clone(&known), Arc::clone(&changed));
    app.state::<Link>().listen(move |news| {
        let mut known = heard.lock().unwrap_or_else(PoisonError::into_inner);
        match news {
            News::Vm(status) => known.vm = Some(status.clone()),
            News::Unreachable(_) => *known = Known::default(),
            News::Event(event) if event.typ == Some(EventMessageTypeEnum::CONTAINER) => {}
            News::Connected => {}
            News::Event(_) | News::Connecting => return true,
        }
        wake.notify_one();
        true
    });
    let app = app.clone();
    tauri::async_runtime::spawn(async move {
        if let Err(error) = keep(&app, &known, &changed).await {
            tracing::warn!(%error, "there is no tray");
        }
    });
}

async fn keep(app: &AppHandle, known: &Mutex<Known>, changed: &Notify) -> Result<(), NoTray> {
    possible().await?;
    let tray = built(app, &drawn(app, known)?)?;
    loop {
        changed.notified().await;
        tokio::time::sleep(SETTLE).await;
        match running(app).await {
            Ok(containers) => known.lock().unwrap_or_else(PoisonError::into_inner).containers = containers,
            // coracled is gone, which the link tells.
            Err(error) => tracing::debug!(error = error.message, "no containers for the tray"),
        }
        tray.set_menu(Some(drawn(app, known)?))?;
    }
}

fn built(app: &AppHandle, menu: &Menu<Wry>) -> tauri::Result<TrayIcon> {
    let mut builder = TrayIconBuilder::with_id(TRAY)
        .menu(menu)
        .show_menu_on_left_click(cfg!(not(windows)))
        .on_menu_event(|app, event| {
            if let Some(order) = Order::from_id(event.id().as_ref()) {
                obey(app.clone(), order);
            }
        })
        .on_tray_icon_event(|tray, event| {
            let left = (MouseButton::Left, MouseButtonState::Up);
            if let TrayIconEvent::Click { button, button_state, .. } = event
                && (button, button_state) == left
                && cfg!(windows)
            {
                window::show(tray.app_handle());
            }
        });
    if let Some(icon) = app.default_window_icon() {
        builder = builder.icon(icon.clone());
    }
    builder.build(app)
}

/// Returns when this system can show a tray.
#[cfg(target_os = "linux")]
async fn possible() -> Result<(), NoTray> {
    use futures::StreamExt as _;
    use zbus::fdo::DBusProxy;

    const WATCHER: &str = "org.kde.StatusNotifierWatcher";
    let session = zbus::Connection::session().await?;
    let bus = DBusProxy::new(&session).await?;
    // Listening before asking: none is missed in between. It may come later than an app that starts at login.
    let mut owners = bus.receive_name_owner_changed_with_args(&[(0, WATCHER)]).await?;
    let name = WATCHER.try_into().map_err(zbus::Error::from)?;
    if !bus.name_has_owner(name).await.map_err(zbus::Error::from)? {
        tracing::info!("this desktop shows no tray; waiting for one");
        while let Some(change) = owners.next().await {
            if change.args()?.new_owner().is_some() {
                break;
            }
        }
    }
    if sys::has_library() { Ok(()) } else { Err(NoTray::Library) }
}

#[cfg(not(target_os = "linux"))]
async fn possible() -> Result<(), NoTray> {
    Ok(())
}

/// Why there is no tray. The app works without.
#[derive(Debug, thiserror::Error)]
enum NoTray {
    #[cfg(target_os = "linux")]
    #[error("libayatana-appindicator3 is not installed")]
    Library,
    #[cfg(target_os = "linux")]
    #[error("the session bus: {0}")]
    Bus(#[from] zbus::Error),
    #[error(transparent)]
    Tauri(#[from] tauri::Error),
}

async fn running(app: &AppHandle) -> Result<Vec<Running>, Failure> {
    let docker = app.state::<Link>().client().await?.docker()?;
    let list = docker.list_containers(None::<ListContainersOptions>).await?;
    let mut running: Vec<Running> = list
        .into_iter()
        .filter_map(|container| {
            let name = container.names?.into_iter().next()?.trim_start_matches('/').to_owned();
            Some(Running { id: container.id?, name })
        })
        .collect();
    running.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(running)
}

fn drawn(app: &AppHandle, known: &Mutex<Known>) -> tauri::Result<Menu<Wry>> {
    let known = known.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let lines = menu::lines(&known, &app.state::<Spoken>().texts());
    let menu = Menu::new(app)?;
    for line in lines {
        menu.append(item(app, line)?.as_ref())?;
    }
    Ok(menu)
}

fn item(app: &AppHandle, line: Line) -> tauri::Result<Box<dyn IsMenuItem<Wry>>> {
    Ok(match line {
        Line::Text(text) => Box::new(MenuItem::new(app, text, false, None::<&str>)?),
        Line::Order(order, text) => Box::new(MenuItem::with_id(app, order.id(), text, true, None::<&str>)?),
        Line::Rule => Box::new(PredefinedMenuItem::separator(app)?),
        Line::Sub(name, lines) => {
            let sub = Submenu::new(app, name, true)?;
            for line in lines {
                sub.append(item(app, line)?.as_ref())?;
            }
            Box::new(sub)
        }
    })
}

fn obey(app: AppHandle, order: Order) {
    tauri::async_runtime::spawn(async move {
        let quits = matches!(order, Order::Quit | Order::QuitAndStopVm);
        match done(&app, order).await {
            Ok(()) if quits => app.exit(0),
            Ok(()) => {}
            Err(failure) => notify::failed(&app, &failure.message),
        }
    });
}

async fn done(app: &AppHandle, order: Order) -> Result<(), Failure> {
    let link = app.state::<Link>();
    match order {
        Order::Open => window::show(app),
        Order::Quit => {}
        Order::StartVm => drop(link.client().await?.vm_start().await?),
        Order::StopVm | Order::QuitAndStopVm => drop(link.client().await?.vm_stop().await?),
        Order::StopContainer(id) => {
            link.client().await?.docker()?.stop_container(&id, None::<StopContainerOptions>).await?;
        }
    }
    Ok(())
}
