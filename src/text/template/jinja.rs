//! A Jinja template as Hugging Face runs it, by minijinja, within limits.

use std::sync::LazyLock;

use minijinja::syntax::SyntaxConfig;
use minijinja::value::Value;
use minijinja::{Environment, ErrorKind, context};

use super::variables::TemplateVariables;
use super::{Content, Message};
use super::{filters, metered, print, source};
use crate::error::{Error, Result, excerpt};

const NAME: &str = "chat_template";

/// Work that a template may do, in minijinja's fuel: an instruction, or 64 bytes that are made or read.
const FUEL: u64 = 100_000;
/// More of it for each message. Templates take less than 200.
const FUEL_PER_MESSAGE: u64 = 1_000;
/// And for each byte of messages and variables.
const FUEL_PER_BYTE: u64 = 2;

/// Stack of the thread that compiles and renders. What a template nests within its limits fits in, where the caller's
/// stack may be small.
const STACK: usize = 256 << 20;

/// A compiled template.
pub(super) struct Jinja {
    environment: Environment<'static>,
    bos: String,
    eos: String,
}

impl Jinja {
    pub(super) fn compile(source: &str, bos: &str, eos: &str) -> Result<Jinja> {
        let source = source::prepare(source).map_err(|why| failed(&why))?;
        let mut environment = ENVIRONMENT.clone();
        on_large_stack(|| environment.add_template_owned(NAME, source).map_err(|e| explain(&e)))?;
        Ok(Jinja { environment, bos: bos.to_owned(), eos: eos.to_owned() })
    }

    /// To be called [`on_large_stack`].
    pub(super) fn render(
        &self,
        messages: &[Message],
        content: Content,
        add_generation_prompt: bool,
        variables: &TemplateVariables,
    ) -> Result<String> {
        let bytes: usize = messages.iter().map(|message| message.content.len()).sum();
        let bytes = bytes + variables.bytes();
        let fuel = FUEL + FUEL_PER_MESSAGE * messages.len() as u64 + FUEL_PER_BYTE * bytes as u64;
        let messages: Vec<Value> = messages.iter().map(|message| message.value(content)).collect();
        let context = context! {
            ..variables.value(),
            ..context! {
                messages,
                add_generation_prompt,
                tools => (),
                documents => (),
                bos_token => &self.bos,
                eos_token => &self.eos,
            }
        };
        let mut environment = self.environment.clone();
        environment.set_fuel(Some(fuel));
        metered::render(&environment, NAME, context).map_err(|e| explain(&e))
    }
}

static ENVIRONMENT: LazyLock<Environment<'static>> = LazyLock::new(|| {
    let mut environment = Environment::new();
    if let Ok(syntax) = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build() {
        environment.set_syntax(syntax);
    }
    environment.set_formatter(print::format);
    environment.set_unknown_method_callback(filters::unknown_method);
    filters::install(&mut environment);
    metered::install(&mut environment);
    environment.add_function("raise_exception", filters::raise_exception);
    environment.add_function("strftime_now", |format: &str| filters::strftime_now(format));
    environment
});

/// Runs `body` on a thread of its own.
pub(super) fn on_large_stack<T: Send>(body: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().name("chat template".into()).stack_size(STACK);
        let thread =
            thread.spawn_scoped(scope, body).map_err(|e| failed(&format!("no thread for it: {e}")))?;
        // minijinja panics where a format names a value that is not ASCII, such as "%(é)s".
        thread.join().unwrap_or_else(|panic| {
            let said = panic.downcast_ref::<String>().map(String::as_str);
            let said = said.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no reason");
            Err(failed(&format!("an internal error of minijinja: {}", excerpt(said))))
        })
    })
}

fn failed(why: &str) -> Error {
    Error::Prompt { reason: format!("the chat template failed: {why}") }
}

fn explain(error: &minijinja::Error) -> Error {
    let line = error.line().map_or(String::new(), |line| format!(" in line {line}"));
    let detail = match error.kind() {
        ErrorKind::OutOfFuel => format!(
            "it does more than is allowed, {FUEL} steps, {FUEL_PER_MESSAGE} for each message and {FUEL_PER_BYTE} \
             for each byte, where 64 bytes are a step"
        ),
        kind => error.detail().map_or_else(|| kind.to_string(), excerpt),
    };
    Error::Prompt { reason: format!("the chat template failed{line}: {detail}") }
}
