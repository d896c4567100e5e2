//! What a person does with the page, and what it says.

use std::time::Duration;

use fantoccini::{Locator, elements::Element};
use serde_json::{Value, json};

use super::{Desktop, SOON};
use crate::eventually;

impl Desktop {
    /// The element with this `data-testid` that shows within `deadline`; `extra` narrows the selector.
    pub async fn find(&self, testid: &str, extra: &str, deadline: Duration) -> Element {
        let selector = selector(testid, extra);
        let found = tokio::time::timeout(deadline, async {
            loop {
                if let Ok(element) = self.page.find(Locator::Css(&selector)).await {
                    return element;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        });
        match found.await {
            Ok(element) => element,
            Err(_) => {
                self.picture("failed").await;
                let text = self.page.find(Locator::Css("body")).await.unwrap().text().await.unwrap();
                panic!("no {selector} within {deadline:?}; the page says:\n{text}");
            }
        }
    }

    /// Waits until nothing matches.
    pub async fn gone(&self, testid: &str, extra: &str, deadline: Duration) {
        let selector = selector(testid, extra);
        eventually(&format!("{selector} is gone"), deadline, || async {
            self.page.find_all(Locator::Css(&selector)).await.ok()?.is_empty().then_some(())
        })
        .await;
    }

    /// Clicks the element, once it can be clicked.
    pub async fn click(&self, testid: &str, extra: &str) {
        let element = self.find(testid, &format!("{extra}:not(:disabled)"), SOON).await;
        element.click().await.unwrap_or_else(|error| panic!("{testid}{extra}: {error}"));
    }

    /// Clicks the element inside the row, a container's or an image's, that `row` selects.
    pub async fn click_in(&self, row: (&str, &str), testid: &str) {
        let selector = format!("{} {}", selector(row.0, row.1), selector(testid, ":not(:disabled)"));
        let element =
            eventually(&selector, SOON, || async { self.page.find(Locator::Css(&selector)).await.ok() });
        element.await.click().await.unwrap();
    }

    /// Types into the element.
    pub async fn fill(&self, testid: &str, text: &str) {
        self.find(testid, "", SOON).await.send_keys(text).await.unwrap();
    }

    /// The element's text.
    pub async fn text(&self, testid: &str) -> String {
        self.find(testid, "", SOON).await.text().await.unwrap()
    }

    /// Waits until the element's text holds `wanted`.
    pub async fn says(&self, testid: &str, wanted: &str, deadline: Duration) {
        let selector = selector(testid, "");
        eventually(&format!("{testid} says {wanted:?}"), deadline, || async {
            let text = self.page.find(Locator::Css(&selector)).await.ok()?.text().await.ok()?;
            text.contains(wanted).then_some(())
        })
        .await;
    }

    /// Types into the element instead of what it holds, and leaves it, so that it takes effect.
    pub async fn retype(&self, testid: &str, text: &str) {
        let element = self.find(testid, "", SOON).await;
        element.clear().await.unwrap();
        element.send_keys(text).await.unwrap();
        self.script("document.activeElement.blur()", &[]).await;
    }

    /// Types where the keyboard is.
    pub async fn press(&self, keys: &str) {
        let focused = self.page.active_element().await.unwrap();
        focused.send_keys(keys).await.unwrap();
    }

    /// Runs a function's body in the page, and gives its result.
    pub async fn script(&self, body: &str, arguments: &[Value]) -> Value {
        self.page.execute(body, arguments.to_vec()).await.unwrap_or_else(|error| panic!("{body}: {error}"))
    }

    /// Waits until the page has drawn what it has.
    pub async fn drawn(&self) {
        self.tap(&[]).await;
    }

    /// Clicks one after the other, without looking whether something lies above, and waits until that is drawn; for what is
    /// done hundreds of times.
    pub async fn tap(&self, testids: &[&str]) {
        let body = "const [selectors, done] = arguments;
            for (const selector of selectors) document.querySelector(selector).click();
            requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(() => done(true))));";
        let selectors: Vec<String> = testids.iter().map(|testid| selector(testid, "")).collect();
        self.page.execute_async(body, vec![json!(selectors)]).await.unwrap();
    }
}

fn selector(testid: &str, extra: &str) -> String {
    format!("[data-testid='{testid}']{extra}")
}
