//! What tray and notifications say: the page's own translations, and the language that the page last chose.

use std::sync::{PoisonError, RwLock};

use serde::Deserialize;

/// Texts of the page's `shell.json`, by their keys there. `{name}` and the like are blanks.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Texts {
    #[serde(rename = "tray.vm.off")]
    pub(crate) vm_off: String,
    #[serde(rename = "tray.vm.booting")]
    pub(crate) vm_booting: String,
    #[serde(rename = "tray.vm.running")]
    pub(crate) vm_running: String,
    #[serde(rename = "tray.vm.halted")]
    pub(crate) vm_halted: String,
    #[serde(rename = "tray.vm.stopping")]
    pub(crate) vm_stopping: String,
    #[serde(rename = "tray.vm.failed")]
    pub(crate) vm_failed: String,
    #[serde(rename = "tray.vm.unknown")]
    pub(crate) vm_unknown: String,
    #[serde(rename = "tray.service.gone")]
    pub(crate) service_gone: String,
    #[serde(rename = "tray.vm.start")]
    pub(crate) vm_start: String,
    #[serde(rename = "tray.vm.stop")]
    pub(crate) vm_stop: String,
    #[serde(rename = "tray.containers")]
    pub(crate) containers: String,
    #[serde(rename = "tray.containers.none")]
    pub(crate) no_containers: String,
    #[serde(rename = "tray.containers.more")]
    pub(crate) more_containers: String,
    #[serde(rename = "tray.stop")]
    pub(crate) stop: String,
    #[serde(rename = "tray.open")]
    pub(crate) open: String,
    #[serde(rename = "tray.quit")]
    pub(crate) quit: String,
    #[serde(rename = "tray.quit.vm")]
    pub(crate) quit_and_stop_vm: String,
    #[serde(rename = "notify.halted")]
    pub(crate) halted: String,
    #[serde(rename = "notify.crashed")]
    pub(crate) crashed: String,
    #[serde(rename = "notify.crashed.body")]
    pub(crate) crashed_body: String,
    #[serde(rename = "notify.unhealthy")]
    pub(crate) unhealthy: String,
    #[serde(rename = "notify.unhealthy.body")]
    pub(crate) unhealthy_body: String,
    #[serde(rename = "notify.pulled")]
    pub(crate) pulled: String,
    #[serde(rename = "notify.failed")]
    pub(crate) failed: String,
}

impl Texts {
    fn read(json: &str) -> Self {
        serde_json::from_str(json).expect("the tests read every language")
    }
}

/// The texts in the language that the page last chose.
pub(crate) struct Spoken(RwLock<Texts>);

impl Default for Spoken {
    fn default() -> Self {
        Self(RwLock::new(Texts::read(ENGLISH)))
    }
}

impl Spoken {
    pub(crate) fn texts(&self) -> Texts {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether there is such a language.
    pub(crate) fn choose(&self, language: &str) -> bool {
        let Some((_, json)) = LANGUAGES.iter().find(|(name, _)| *name == language) else { return false };
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Texts::read(json);
        true
    }
}

const ENGLISH: &str = include_str!("../../ui/src/lib/i18n/en/shell.json");
const LANGUAGES: [(&str, &str); 2] =
    [("en", ENGLISH), ("zh-CN", include_str!("../../ui/src/lib/i18n/zh-CN/shell.json"))];

/// Fills a text's blank.
pub(crate) fn filled(text: &str, blank: &str, value: &str) -> String {
    text.replace(&format!("{{{blank}}}"), value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_language_has_every_text_and_its_blanks() {
        let spoken = Spoken::default();
        for (language, _) in LANGUAGES {
            assert!(spoken.choose(language));
            let texts = spoken.texts();
            for text in [&texts.crashed, &texts.unhealthy, &texts.pulled] {
                assert!(text.contains("{name}"), "{text}");
            }
            assert!(texts.crashed_body.contains("{code}"), "{}", texts.crashed_body);
            assert!(texts.more_containers.contains("{count}"), "{}", texts.more_containers);
        }
        assert!(!spoken.choose("tlh"));
        assert_eq!(filled("{name} left", "name", "web"), "web left");
    }
}
