//! How the page looks: to the eye, and to those who do not see it.

use std::path::Path;

use serde_json::json;
use tokio::task::JoinHandle;

use super::Desktop;
use crate::Run;

/// What decides how a page looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Checked {
    /// All of axe's rules.
    Everything,
    /// Those that another theme could break.
    Colours,
}

impl Desktop {
    /// Keeps a picture of the screen below the target folder.
    pub async fn picture(&self, name: &str) {
        self.snap(name).await.unwrap();
    }

    /// Takes a picture at once, and develops it behind the test's back.
    pub fn snap(&self, name: &str) -> JoinHandle<()> {
        let file = self.screenshots.join(format!("{name}.png"));
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        // The screen is a file; WebDriver's own way hangs without a compositor.
        let taken = std::fs::read(self.folder.path().join("Xvfb_screen0")).unwrap();
        tokio::spawn(async move {
            let develop = Run::new("convert").args(["xwd:-", "-define", "png:compression-level=1"]);
            develop.args([&file]).stdin(taken).ok().await;
        })
    }

    /// Waits until nothing on the page is still on its way, within reason: what never ends is for the picture to show.
    pub async fn settled(&self) {
        let body = "return document.querySelector('[aria-busy=\\'true\\'], .spinner') === null";
        for _ in 0..40 {
            self.drawn().await;
            if self.script(body, &[]).await == json!(true) {
                return;
            }
        }
    }

    /// No movement from here on: a picture or axe would meet colours halfway.
    pub async fn hold_still(&self) {
        let body = "const still = new CSSStyleSheet();
            still.replaceSync('*, *::before, *::after { transition: none !important; animation: none !important }');
            document.adoptedStyleSheets = [...document.adoptedStyleSheets, still];";
        self.script(body, &[]).await;
    }

    /// What keeps some people from using the page as it is: axe's findings of serious and critical kind.
    pub async fn obstacles(&self, checked: Checked) -> Vec<String> {
        if self.script("return typeof window.axe", &[]).await == json!("undefined") {
            let axe = Path::new(env!("CARGO_MANIFEST_DIR")).join("../ui/node_modules/axe-core/axe.min.js");
            let source = std::fs::read_to_string(axe).expect("the front end's packages are installed");
            self.script(&source, &[]).await;
        }
        let only = match checked {
            Checked::Everything => json!(null),
            Checked::Colours => json!(["color-contrast"]),
        };
        let body = r"
            const [only, done] = arguments;
            const options = { resultTypes: ['violations'], preload: false, ...(only && { runOnly: only }) };
            const place = (node) => `${node.target.join(' ')}: ${node.failureSummary}`;
            axe.run(document, options).then(
              ({ violations }) => done(violations
                .filter(({ impact }) => impact === 'serious' || impact === 'critical')
                .map(({ id, nodes }) => `${id}: ${nodes.map(place).join('; ')}`)),
              (error) => done([`axe does not run: ${error}`]),
            );";
        let found = self.page.execute_async(body, vec![only]).await.unwrap();
        serde_json::from_value(found).unwrap()
    }
}
