//! What `include/sda.h` declares.

use std::collections::BTreeSet;

/// The header as a program sees it, without comments; `bundled` is whether it defines SDA_BUNDLED.
pub fn code(bundled: bool) -> String {
    let mut code = String::new();
    for (i, part) in include_str!("../../../include/sda.h").split("/*").enumerate() {
        code.push_str(if i == 0 { part } else { part.split_once("*/").unwrap().1 });
    }
    if bundled {
        return code;
    }
    let mut pieces = code.split("#if defined(SDA_BUNDLED)");
    let mut seen = pieces.next().unwrap().to_owned();
    pieces.for_each(|piece| seen.push_str(piece.split_once("#endif").unwrap().1));
    seen
}

/// Functions that it declares: `sda_name(`.
pub fn functions(bundled: bool) -> BTreeSet<String> {
    let code = code(bundled);
    let mut names = BTreeSet::new();
    for (at, _) in code.match_indices("sda_") {
        let name: String =
            code[at..].chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
        if code[at + name.len()..].starts_with('(') {
            names.insert(name);
        }
    }
    names
}
