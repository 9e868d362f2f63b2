//! Options of llama.cpp's that ask for what is so anyway. Scripts have them; nobody needs to read of them.

use clap::Args;

#[derive(Args)]
pub struct CompatArgs {
    /// Accepted for llama.cpp's sake: the prompts are never printed.
    #[arg(long, hide = true)]
    no_display_prompt: bool,
    /// Accepted for llama.cpp's sake: there is no run before the first.
    #[arg(long, hide = true)]
    no_warmup: bool,
    /// Accepted for llama.cpp's sake: the terminal is used as a file is.
    #[arg(long, hide = true)]
    simple_io: bool,
    /// Accepted for llama.cpp's sake: its log is shown with -v only.
    #[arg(long, hide = true, conflicts_with_all = ["verbose", "log_file"])]
    log_disable: bool,
    /// Accepted for llama.cpp's sake: nothing is fetched.
    #[arg(long, hide = true)]
    offline: bool,
    /// Accepted for llama.cpp's sake: there are no pictures and sounds.
    #[arg(long, alias = "no-mmproj-auto", hide = true)]
    no_mmproj: bool,
    /// Accepted for llama.cpp's sake: an answer begins where the template has it begin.
    #[arg(long, hide = true)]
    no_prefill_assistant: bool,
    /// Accepted for llama.cpp's sake: many answers are always generated in one batch.
    #[arg(long, hide = true)]
    cont_batching: bool,
    /// Accepted for llama.cpp's sake, off only: nothing is fitted to a device's memory by itself.
    #[arg(long, hide = true, value_name = "off", value_parser = ["off", "disabled", "false", "0"])]
    fit: Option<String>,
}
