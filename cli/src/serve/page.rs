//! The page at `/`: a chat with the instruction beside it. It is one file and asks this server only.

use std::sync::LazyLock;

use axum::http::header;
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use sda::Quality;
use serde_json::json;
use sha2::{Digest, Sha256};

use crate::ui::web::Page;

const PAGE: Page = Page {
    html: include_str!("page/page.html"),
    style: include_str!("page/style.css"),
    script: concat!(
        include_str!("page/api.js"),
        include_str!("page/answer.js"),
        include_str!("page/script.js")
    ),
};

static HTML: LazyLock<String> = LazyLock::new(|| {
    let preset = |it: Quality| json!({ "name": it.name(), "instruction": it.instruction() });
    let presets = Quality::ALL.map(preset);
    PAGE.with(&json!({ "presets": presets }))
});

/// What the page may do: run its own script, wear its own style, ask this server. Text of the model that became markup
/// could do nothing.
static POLICY: LazyLock<String> = LazyLock::new(|| {
    let source = |text: &str| format!("'sha256-{}'", BASE64_STANDARD.encode(Sha256::digest(text)));
    let (script, style) = (source(&PAGE.whole_script()), source(&PAGE.whole_style()));
    format!(
        "default-src 'none'; script-src {script}; style-src {style}; connect-src 'self'; img-src data:; \
         base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
});

pub async fn page() -> Response {
    let headers = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CONTENT_SECURITY_POLICY, POLICY.as_str()),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CACHE_CONTROL, "no-cache"),
    ];
    (headers, HTML.as_str()).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What stands between two marks, of which the first is there once.
    fn between<'a>(text: &'a str, from: &str, to: &str) -> &'a str {
        let (_, rest) = text.split_once(from).unwrap();
        assert!(!rest.contains(from));
        rest.split_once(to).unwrap().0
    }

    #[test]
    fn the_page_refers_to_nothing_outside_it() {
        for reference in
            ["src=", "url(", "@import", "http-equiv", "http://", "https://", "innerHTML", " style="]
        {
            assert!(!HTML.contains(reference), "{reference}");
        }
        for mark in ["/*STYLE*/", "/*SCRIPT*/", "/*DATA*/"] {
            assert!(!HTML.contains(mark), "{mark}");
        }
    }

    #[test]
    fn the_policy_allows_the_very_script_and_style_of_the_page() {
        for (tag, directive) in [("script", "script-src"), ("style", "style-src")] {
            let text = between(&HTML, &format!("<{tag}>"), &format!("</{tag}>"));
            let hash = BASE64_STANDARD.encode(Sha256::digest(text));
            assert_eq!(between(&POLICY, &format!("{directive} 'sha256-"), "'"), hash, "{tag}");
        }
        assert!(POLICY.starts_with("default-src 'none'; "));
        assert!(!POLICY.contains("unsafe"));
    }

    #[test]
    fn the_page_knows_every_preset() {
        let data = between(&HTML, r#"<script type="application/json" id="data">"#, "</script>");
        let data: serde_json::Value = serde_json::from_str(data).unwrap();
        assert_eq!(data["presets"][0]["name"], "empathy");
        assert_eq!(data["presets"].as_array().unwrap().len(), Quality::ALL.len());
    }
}
