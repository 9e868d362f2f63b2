//! The chat template of a model: its own, one given as Jinja, or one that llama.cpp has built in under a name.

use std::ffi::{CStr, CString, c_char};
use std::sync::LazyLock;

use llama_cpp_sys_2::{llama_chat_apply_template, llama_chat_builtin_templates, llama_chat_message};

use super::Model;
use crate::error::{Error, Result, excerpt};
use crate::text::{ChatTemplate, Message, TemplateVariables};

/// Names of llama.cpp's templates, sorted.
static NAMES: LazyLock<Vec<String>> = LazyLock::new(|| {
    // SAFETY: room for no names; the number of all is returned.
    let count = unsafe { llama_chat_builtin_templates(std::ptr::null_mut(), 0) };
    let mut names: Vec<*const c_char> = vec![std::ptr::null(); usize::try_from(count).unwrap_or(0)];
    // SAFETY: as many pointers as the vector has, each to a text that lives as long as the process.
    unsafe { llama_chat_builtin_templates(names.as_mut_ptr(), names.len()) };
    let filled = names.into_iter().filter(|name| !name.is_null());
    // SAFETY: see above.
    filled.map(|name| unsafe { CStr::from_ptr(name) }.to_string_lossy().into_owned()).collect()
});

/// What a template may be, for errors.
static ALLOWED: LazyLock<String> =
    LazyLock::new(|| format!("a Jinja template, or one of llama.cpp's: {}", NAMES.join(", ")));

impl Model {
    /// The chat template for this model: `source`, or the model's own where that is None. An empty `source` is none,
    /// as is a model without one: it gets texts as they are. A source that is one of llama.cpp's names is that
    /// template; everything else is Jinja.
    ///
    /// # Errors
    /// [`Error::Param`] for a source that is neither, and for variables that no template gets; [`Error::Prompt`] for
    /// wrong Jinja.
    pub fn template(
        &self,
        source: Option<&str>,
        variables: &TemplateVariables,
    ) -> Result<Option<ChatTemplate>> {
        let own = self.chat_template();
        let template = match source.or(own.as_deref()) {
            None | Some("") if variables.is_empty() => return Ok(None),
            None | Some("") => return Err(variables.refuse("empty without a chat template")),
            Some(source) => match NAMES.iter().find(|name| *name == source) {
                Some(name) => built_in(name),
                None if source.contains("{{") || source.contains("{%") => {
                    ChatTemplate::compile(source, &self.bos_text(), &self.eos_text())?
                }
                None => return Err(Error::param("chat_template", excerpt(source), ALLOWED.as_str())),
            },
        };
        template.with_variables(variables.clone()).map(Some)
    }
}

fn built_in(name: &'static str) -> ChatTemplate {
    ChatTemplate::from_fn(move |messages, add_generation_prompt| apply(name, messages, add_generation_prompt))
}

/// Has llama.cpp render the messages.
fn apply(name: &str, messages: &[Message], add_generation_prompt: bool) -> Result<String> {
    let c_text = |text: &str| {
        let reason =
            "a message holds a NUL character, which llama.cpp's own chat templates cannot".to_owned();
        CString::new(text).map_err(|_| Error::Prompt { reason })
    };
    let name = c_text(name)?;
    let texts: Vec<(CString, CString)> = messages
        .iter()
        .map(|message| Ok((c_text(message.role.name())?, c_text(&message.content)?)))
        .collect::<Result<_>>()?;
    let chat: Vec<llama_chat_message> = texts
        .iter()
        .map(|(role, content)| llama_chat_message { role: role.as_ptr(), content: content.as_ptr() })
        .collect();
    let mut text: Vec<u8> = Vec::new();
    loop {
        let size = i32::try_from(text.len()).unwrap_or(i32::MAX);
        // SAFETY: texts end with NUL and outlive the call; the buffer has `size` bytes.
        let needed = unsafe {
            llama_chat_apply_template(
                name.as_ptr(),
                chat.as_ptr(),
                chat.len(),
                add_generation_prompt,
                text.as_mut_ptr().cast(),
                size,
            )
        };
        let Ok(needed) = usize::try_from(needed) else {
            return Err(Error::Host { call: "llama_chat_apply_template", code: needed });
        };
        if needed <= text.len() {
            text.truncate(needed);
            return Ok(String::from_utf8_lossy(&text).into_owned());
        }
        text.resize(needed, 0);
    }
}
