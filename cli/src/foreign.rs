//! llama.cpp's options that there are none of here, and why.

use std::ffi::OsString;

use clap::error::{ContextKind, ContextValue, ErrorKind};

use crate::variables::Variables;

/// Names, a colon and the reason in each line. A short name of several letters stands behind its long one.
const TABLE: &str = include_str!("foreign.txt");

/// What llama.cpp would fetch by itself.
const FETCH: &str = "sda fetches nothing by itself";

fn lines() -> impl Iterator<Item = (&'static str, &'static str)> {
    TABLE.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.split_once(": "))
}

/// The long name of an option of several letters behind one dash, which clap would take for several options.
pub fn long_name(short: &str) -> Option<&'static str> {
    lines().find_map(|(names, _)| {
        let mut long = None;
        names.split(' ').find_map(|name| {
            if name.starts_with("--") {
                long = Some(name);
            }
            (name == short).then_some(long).flatten()
        })
    })
}

/// Why the option is none that clap does not know, if it is one of llama.cpp's.
pub fn unknown(error: &clap::Error, args: &[OsString]) -> Option<String> {
    let ContextValue::String(option) = error.get(ContextKind::InvalidArg)? else { return None };
    (error.kind() == ErrorKind::UnknownArgument).then(|| refusal(option, args)).flatten()
}

/// What is said where there is no -m, but a variable by which llama.cpp would fetch a model.
pub fn no_model(error: &clap::Error, variables: Variables) -> Option<String> {
    let fetching = [
        ("LLAMA_ARG_HF_REPO", "--hf-repo"),
        ("LLAMA_ARG_MODEL_URL", "--model-url"),
        ("LLAMA_ARG_DOCKER_REPO", "--docker-repo"),
    ];
    let (variable, option) = fetching.into_iter().find(|(variable, _)| variables(variable).is_some())?;
    let is_missing = error.kind() == ErrorKind::MissingRequiredArgument;
    is_missing.then(|| refusal(option, &[])).flatten().map(|text| format!("{variable} is not read: {text}"))
}

/// Why an option is none, if it is one of llama.cpp's; for a model that it would fetch, the line that fetches it.
pub fn refusal(option: &str, args: &[OsString]) -> Option<String> {
    let (_, reason) = lines().find(|(names, _)| names.split(' ').any(|name| name == option))?;
    let how = if reason == FETCH && (option.starts_with("--hf") || option == "--docker-repo") {
        let repo = value(args, "--hf-repo").and_then(|repo| repo.split(':').next()).unwrap_or("USER/MODEL");
        let file = value(args, "--hf-file").unwrap_or("FILE.gguf");
        format!(": curl -L -O https://huggingface.co/{repo}/resolve/main/{file}, and then -m {file}")
    } else {
        String::new()
    };
    Some(format!("{option} of llama.cpp is no option of sda: {reason}{how}"))
}

/// The value of an option, if it is one that a shell takes as it is.
fn value<'a>(args: &'a [OsString], option: &str) -> Option<&'a str> {
    let at =
        args.iter().position(|arg| arg.to_str().is_some_and(|arg| arg.split('=').next() == Some(option)))?;
    let value = match args[at].to_str()?.split_once('=') {
        Some((_, value)) => value,
        None => args.get(at + 1)?.to_str()?,
    };
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-:".contains(c);
    (!value.starts_with('-') && !value.is_empty() && value.chars().all(is_plain)).then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli;

    #[test]
    fn every_line_has_names_and_a_reason_and_no_name_is_there_twice() {
        let mut known = std::collections::BTreeSet::new();
        for line in TABLE.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
            let (names, reason) = line.split_once(": ").unwrap_or_else(|| panic!("{line}"));
            assert!(!reason.is_empty() && names.starts_with("--"), "{line}");
            for name in names.split(' ') {
                assert!(name.starts_with('-') && known.insert(name), "{name}");
            }
        }
    }

    #[test]
    fn a_name_is_found_under_its_long_one() {
        assert_eq!(long_name("-hf"), Some("--hf-repo"));
        assert_eq!(long_name("-hff"), Some("--hf-file"));
        assert_eq!(long_name("-mmu"), Some("--mmproj-url"));
        assert_eq!(long_name("--mmproj-url"), Some("--mmproj-url"));
        assert_eq!(long_name("-ngl"), None);
    }

    #[test]
    fn the_line_that_fetches_the_model_is_said() {
        let says = |line: &str| {
            let args = cli::expand(line.split(' ').map(OsString::from));
            let option = args.iter().find(|arg| arg.to_str().unwrap().starts_with("--hf")).unwrap();
            refusal(option.to_str().unwrap().split('=').next().unwrap(), &args).unwrap()
        };
        let line = |path: &str, file: &str| {
            format!(
                "--hf-repo of llama.cpp is no option of sda: sda fetches nothing by itself: curl -L -O \
                 https://huggingface.co/{path}, and then -m {file}"
            )
        };
        assert_eq!(
            says("sda generate -hf a/b-GGUF:Q8_0 -p x"),
            line("a/b-GGUF/resolve/main/FILE.gguf", "FILE.gguf")
        );
        assert_eq!(says("sda generate -hf=a/b -hff c.gguf"), line("a/b/resolve/main/c.gguf", "c.gguf"));
        assert_eq!(says("sda generate -hf $(rm)"), line("USER/MODEL/resolve/main/FILE.gguf", "FILE.gguf"));
        assert_eq!(says("sda generate -hf"), line("USER/MODEL/resolve/main/FILE.gguf", "FILE.gguf"));
        assert_eq!(refusal("--temp", &[]), None);
        // A token is not shown.
        assert!(!says("sda generate --hf-token=hf_secret").contains("hf_secret"));
    }
}
