//! llama.cpp's environment variables, LLAMA_ARG_*, for the options that have the same name and meaning here. They become
//! arguments in front of the user's, unless he gives the option itself or one that conflicts with it. Those of the server
//! alone are with its options, in `serve/args`.

use std::ffi::OsString;

use clap::builder::StyledStr;
use clap::parser::ValueSource;
use clap::{Arg, ArgMatches, Command};

use crate::failure::{Failure, Outcome};

/// Variables that hold the value of an option.
const VALUES: [(&str, &str); 39] = [
    ("LLAMA_ARG_MODEL", "model"),
    ("LLAMA_ARG_THREADS", "threads"),
    ("LLAMA_ARG_CTX_SIZE", "ctx-size"),
    ("LLAMA_ARG_N_PREDICT", "n-predict"),
    ("LLAMA_ARG_BATCH", "batch-size"),
    ("LLAMA_ARG_UBATCH", "ubatch-size"),
    ("LLAMA_ARG_FLASH_ATTN", "flash-attn"),
    ("LLAMA_ARG_CACHE_TYPE_K", "cache-type-k"),
    ("LLAMA_ARG_CACHE_TYPE_V", "cache-type-v"),
    ("LLAMA_ARG_NUMA", "numa"),
    ("LLAMA_ARG_LOAD_MODE", "load-mode"),
    ("LLAMA_ARG_LOG_FILE", "log-file"),
    ("LLAMA_ARG_N_GPU_LAYERS", "n-gpu-layers"),
    ("LLAMA_ARG_DEVICE", "device"),
    ("LLAMA_ARG_RPC", "rpc"),
    ("LLAMA_ARG_SPLIT_MODE", "split-mode"),
    ("LLAMA_ARG_TENSOR_SPLIT", "tensor-split"),
    ("LLAMA_ARG_MAIN_GPU", "main-gpu"),
    ("LLAMA_ARG_OVERRIDE_TENSOR", "override-tensor"),
    ("LLAMA_ARG_N_CPU_MOE", "n-cpu-moe"),
    ("LLAMA_ARG_ROPE_SCALING_TYPE", "rope-scaling"),
    ("LLAMA_ARG_ROPE_SCALE", "rope-scale"),
    ("LLAMA_ARG_ROPE_FREQ_BASE", "rope-freq-base"),
    ("LLAMA_ARG_ROPE_FREQ_SCALE", "rope-freq-scale"),
    ("LLAMA_ARG_YARN_ORIG_CTX", "yarn-orig-ctx"),
    ("LLAMA_ARG_YARN_EXT_FACTOR", "yarn-ext-factor"),
    ("LLAMA_ARG_YARN_ATTN_FACTOR", "yarn-attn-factor"),
    ("LLAMA_ARG_YARN_BETA_SLOW", "yarn-beta-slow"),
    ("LLAMA_ARG_YARN_BETA_FAST", "yarn-beta-fast"),
    ("LLAMA_ARG_TEMPERATURE", "temp"),
    ("LLAMA_ARG_TOP_K", "top-k"),
    ("LLAMA_ARG_TOP_P", "top-p"),
    ("LLAMA_ARG_MIN_P", "min-p"),
    ("LLAMA_ARG_REPEAT_PENALTY", "repeat-penalty"),
    ("LLAMA_ARG_PRESENCE_PENALTY", "presence-penalty"),
    ("LLAMA_ARG_FREQUENCY_PENALTY", "frequency-penalty"),
    ("LLAMA_ARG_CHAT_TEMPLATE", "chat-template"),
    ("LLAMA_ARG_CHAT_TEMPLATE_FILE", "chat-template-file"),
    ("LLAMA_ARG_CHAT_TEMPLATE_KWARGS", "chat-template-kwargs"),
];

/// Variables that switch something on or off, with the option for each.
const SWITCHES: [(&str, Option<&str>, Option<&str>); 12] = [
    ("LLAMA_ARG_CONTEXT_SHIFT", Some("context-shift"), Some("no-context-shift")),
    ("LLAMA_ARG_SWA_FULL", Some("swa-full"), None),
    ("LLAMA_ARG_KV_OFFLOAD", Some("kv-offload"), Some("no-kv-offload")),
    ("LLAMA_ARG_REPACK", Some("repack"), Some("no-repack")),
    ("LLAMA_ARG_CPU_MOE", Some("cpu-moe"), None),
    ("LLAMA_ARG_JINJA", Some("jinja"), None),
    ("LLAMA_ARG_CACHE_PROMPT", Some("cache-prompt"), Some("no-cache-prompt")),
    ("LLAMA_ARG_OFFLINE", Some("offline"), None),
    ("LLAMA_ARG_CONT_BATCHING", Some("cont-batching"), None),
    ("LLAMA_ARG_MMPROJ_AUTO", None, Some("no-mmproj")),
    ("LLAMA_ARG_ENDPOINT_SLOTS", Some("slots"), Some("no-slots")),
    ("LLAMA_ARG_UI", Some("webui"), Some("no-webui")),
];

/// The environment, or what a test has in its place. A variable that is empty is none.
pub type Variables<'a> = &'a dyn Fn(&str) -> Option<OsString>;

/// A variable that was used, and the option that it stands for.
pub type Used = (String, &'static str);

/// What the variables ask for, as an argument each.
struct Wish {
    variable: String,
    option: &'static str,
    argument: OsString,
}

/// The command line with what the variables add to it, and which did.
pub fn apply(
    command: &Command,
    mut args: Vec<OsString>,
    variables: Variables,
) -> Outcome<(Vec<OsString>, Vec<Used>)> {
    let wishes = wishes(variables)?;
    if wishes.is_empty() {
        return Ok((args, Vec::new()));
    }
    // What is wrong in the user's own arguments is said when they are read in earnest.
    let mut command = command.clone().ignore_errors(true);
    command.build();
    let matches = command.clone().try_get_matches_from(&args).ok();
    let Some((name, given)) = matches.as_ref().and_then(ArgMatches::subcommand) else {
        return Ok((args, Vec::new()));
    };
    let (Some(subcommand), Some(at)) =
        (command.find_subcommand(name), args.iter().skip(1).position(|arg| arg == name))
    else {
        return Ok((args, Vec::new()));
    };
    let mut used = Vec::new();
    let mut more = Vec::new();
    for Wish { variable, option, argument } in wishes {
        let arg = subcommand.get_arguments().find(|arg| arg.get_long() == Some(option));
        if arg.is_some_and(|arg| !is_settled(subcommand, given, arg)) {
            more.push(argument);
            used.push((variable, option));
        }
    }
    // Behind the program and the command.
    args.splice(at + 2..at + 2, more);
    Ok((args, used))
}

/// True if the command line has the option already, or what is against it.
fn is_settled(command: &Command, given: &ArgMatches, arg: &Arg) -> bool {
    let is_given =
        |other: &Arg| given.value_source(other.get_id().as_str()) == Some(ValueSource::CommandLine);
    let against =
        |a: &Arg, b: &Arg| command.get_arg_conflicts_with(a).iter().any(|c| c.get_id() == b.get_id());
    command.get_arguments().filter(|other| is_given(other)).any(|other| {
        other.get_id() == arg.get_id()
            || against(arg, other)
            || against(other, arg)
            || is_opposite(arg.get_long(), other.get_long())
    })
}

/// True for the two options of one switch.
fn is_opposite(a: Option<&str>, b: Option<&str>) -> bool {
    SWITCHES.iter().any(|(_, on, off)| {
        on.is_some() && off.is_some() && ((a == *on && b == *off) || (a == *off && b == *on))
    })
}

fn wishes(variables: Variables) -> Outcome<Vec<Wish>> {
    let mut wishes = Vec::new();
    for (variable, option) in VALUES {
        if let Some(value) = variables(variable).filter(|value| !value.is_empty()) {
            let mut argument = OsString::from(format!("--{option}="));
            argument.push(value);
            wishes.push(Wish { variable: variable.to_owned(), option, argument });
        }
    }
    for (variable, on, off) in SWITCHES {
        // As in llama.cpp, this one counts whatever it holds.
        let negated = variable.replacen("LLAMA_ARG_", "LLAMA_ARG_NO_", 1);
        let (variable, option) = if off.is_some() && variables(&negated).is_some() {
            (negated, off)
        } else {
            match variables(variable).filter(|value| !value.is_empty()) {
                None => continue,
                Some(value) => (variable.to_owned(), if is_on(variable, &value)? { on } else { off }),
            }
        };
        if let Some(option) = option {
            wishes.push(Wish { variable, option, argument: format!("--{option}").into() });
        }
    }
    Ok(wishes)
}

/// A switch as llama.cpp reads it.
fn is_on(variable: &str, value: &OsString) -> Outcome<bool> {
    match value.to_str() {
        Some("on" | "enabled" | "true" | "1") => Ok(true),
        Some("off" | "disabled" | "false" | "0") => Ok(false),
        _ => Err(Failure::Usage(format!(
            "{variable} is {value:?}, must be on, enabled, true or 1, or off, disabled, false or 0"
        ))),
    }
}

/// The variable of an option.
pub fn of_option(option: &str) -> Option<&'static str> {
    let values = VALUES.iter().find(|(_, of)| *of == option).map(|(name, _)| *name);
    let is_it = |of: &Option<&str>| *of == Some(option);
    values.or_else(|| SWITCHES.iter().find(|(_, on, off)| is_it(on) || is_it(off)).map(|(name, ..)| *name))
}

/// Names the variables in the help of their options.
pub fn describe(command: Command) -> Command {
    command.mut_subcommands(|subcommand| {
        subcommand.mut_args(|arg| {
            let variable = arg.get_long().and_then(of_option).filter(|_| arg.get_env().is_none());
            match (variable, arg.get_help().map(StyledStr::to_string)) {
                (Some(name), Some(help)) => arg.help(format!("{help} [env: {name}]")),
                _ => arg,
            }
        })
    })
}

/// Says which variable is behind an option that was refused.
pub fn blame(used: &[Used], error: &clap::Error) -> Option<String> {
    let clap::error::ContextValue::String(arg) = error.get(clap::error::ContextKind::InvalidArg)? else {
        return None;
    };
    let option = arg.strip_prefix("--")?.split([' ', '=']).next()?;
    let (variable, _) = used.iter().find(|(_, used)| *used == option)?;
    Some(format!("{variable} gives --{option}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli;
    use crate::failure::message;

    /// The arguments that the variables add to a command line.
    fn added(line: &str, variables: &[(&str, &str)]) -> Result<Vec<String>, String> {
        let look = |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, v)| v.into());
        let args = cli::expand(line.split(' ').map(OsString::from));
        let own = args.len();
        let (args, used) =
            apply(&cli::command(), args, &look).map_err(|failure| message(&failure).to_owned())?;
        assert_eq!(used.len(), args.len() - own);
        assert!(used.is_empty() || args[1] == line.split(' ').nth(1).unwrap());
        Ok(args.iter().skip(2).take(args.len() - own).map(|arg| arg.to_str().unwrap().to_owned()).collect())
    }

    #[test]
    fn every_variable_is_an_option_of_some_command() {
        let mut command = cli::command();
        command.build();
        let has = |name: &str| {
            command.get_subcommands().any(|sub| sub.get_arguments().any(|arg| arg.get_long() == Some(name)))
        };
        let switches = SWITCHES.iter().flat_map(|(_, on, off)| on.iter().chain(off));
        let server = ["no-cache-prompt", "cache-prompt", "slots", "no-slots", "no-webui", "webui"];
        for option in VALUES.iter().map(|(_, option)| option).chain(switches) {
            assert!(has(option) || (cfg!(not(feature = "server")) && server.contains(option)), "{option}");
        }
    }

    #[test]
    fn a_variable_is_the_option_unless_the_command_line_has_it() {
        let threads = &[("LLAMA_ARG_THREADS", "2"), ("LLAMA_ARG_TOP_P", "0.5")][..];
        assert_eq!(added("sda generate -p x", threads).unwrap(), ["--threads=2", "--top-p=0.5"]);
        assert_eq!(added("sda generate -p x -t 4", threads).unwrap(), ["--top-p=0.5"]);
        assert_eq!(added("sda generate --threads=4 -p x", threads).unwrap(), ["--top-p=0.5"]);
        assert_eq!(added("sda bench -p x", threads).unwrap(), ["--threads=2"], "what the command has");
        assert!(added("sda plot temperature", threads).unwrap().is_empty());
        assert!(added("sda --version", threads).unwrap().is_empty());
        assert!(
            added("sda generate", &[("LLAMA_ARG_THREADS", "")]).unwrap().is_empty(),
            "an empty one is none"
        );
        assert_eq!(
            added("sda generate -p x", &[("LLAMA_ARG_MODEL", "a=b.gguf")]).unwrap(),
            ["--model=a=b.gguf"]
        );
    }

    #[test]
    fn an_option_wins_over_the_variable_of_what_it_conflicts_with() {
        let template = &[("LLAMA_ARG_CHAT_TEMPLATE", "chatml")][..];
        assert_eq!(added("sda generate", template).unwrap(), ["--chat-template=chatml"]);
        assert!(added("sda generate --no-template", template).unwrap().is_empty());
        assert!(added("sda generate --chat-template-file x", template).unwrap().is_empty());
        let scale = &[("LLAMA_ARG_ROPE_FREQ_SCALE", "0.5")][..];
        assert!(added("sda generate --rope-scale 2", scale).unwrap().is_empty(), "either way round");
        let shift = &[("LLAMA_ARG_CONTEXT_SHIFT", "1")][..];
        assert_eq!(added("sda generate", shift).unwrap(), ["--context-shift"]);
        assert!(added("sda generate --no-context-shift", shift).unwrap().is_empty());
    }

    #[test]
    fn switches_are_read_as_llama_cpp_reads_them() {
        for (variable, value, argument) in [
            ("LLAMA_ARG_KV_OFFLOAD", "off", Some("--no-kv-offload")),
            ("LLAMA_ARG_KV_OFFLOAD", "enabled", Some("--kv-offload")),
            ("LLAMA_ARG_NO_KV_OFFLOAD", "0", Some("--no-kv-offload")),
            ("LLAMA_ARG_NO_REPACK", "", Some("--no-repack")),
            ("LLAMA_ARG_CPU_MOE", "true", Some("--cpu-moe")),
            ("LLAMA_ARG_CPU_MOE", "disabled", None),
            ("LLAMA_ARG_NO_CPU_MOE", "1", None),
        ] {
            let added = added("sda generate", &[(variable, value)]).unwrap();
            assert_eq!(added.first().map(String::as_str), argument, "{variable}={value}");
        }
        let error = added("sda generate", &[("LLAMA_ARG_REPACK", "maybe")]).unwrap_err();
        assert!(error.starts_with("LLAMA_ARG_REPACK is \"maybe\", must be on, enabled, "), "{error}");
    }
}
