//! Pages: what the viewer of traces and the server's page share, and how a page becomes one file.

use serde::Serialize;

use crate::record;

/// Colours, buttons, tokens and the tooltip.
const STYLE: &str = include_str!("web/shared.css");

/// Elements, numbers, the colour of a divergence, tokens that keys and the pointer walk through.
const SCRIPT: &str = include_str!("web/shared.js");

/// What is a page's own.
pub struct Page {
    /// The document. It says where the rest goes: `/*STYLE*/`, `/*SCRIPT*/` and `/*DATA*/`, each once.
    pub html: &'static str,
    pub style: &'static str,
    pub script: &'static str,
}

impl Page {
    /// The page as one file that refers to nothing outside it; `data` is for its script.
    pub fn with(&self, data: &impl Serialize) -> String {
        let page = self.html.replacen("/*STYLE*/", &self.whole_style(), 1);
        let page = page.replacen("/*SCRIPT*/", &self.whole_script(), 1);
        // The data go in last: what they hold is not searched for the marks of the others.
        page.replacen("/*DATA*/", &in_script(data), 1)
    }

    /// What stands in the style element.
    pub fn whole_style(&self) -> String {
        format!("{STYLE}{}", self.style)
    }

    /// What stands in the script element.
    pub fn whole_script(&self) -> String {
        format!("{SCRIPT}{}", self.script)
    }
}

/// JSON that can stand in a script element: no text in it can end the element or begin a comment.
fn in_script(data: &impl Serialize) -> String {
    let mut safe = String::new();
    for c in record::line(data).chars() {
        match c {
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => safe.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => safe.push(c),
        }
    }
    safe
}
