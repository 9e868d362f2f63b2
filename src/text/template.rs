//! Chat templates: the Jinja source that a GGUF file carries, rendered as Hugging Face does it.

use minijinja::syntax::SyntaxConfig;
use minijinja::value::Value;
use minijinja::{Environment, ErrorKind, context};

use crate::error::{Error, Result};

/// Who says a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// What holds for the whole conversation.
    System,
    /// The user.
    User,
    /// The model.
    Assistant,
}

impl Role {
    fn name(self) -> &'static str {
        match self {
            Role::System => "system",
            Role::User => "user",
            Role::Assistant => "assistant",
        }
    }
}

/// One message of a conversation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Who says it.
    pub role: Role,
    /// What is said.
    pub content: String,
}

impl Message {
    /// A message.
    pub fn new(role: Role, content: impl Into<String>) -> Message {
        Message { role, content: content.into() }
    }
}

const NAME: &str = "chat_template";

/// A compiled chat template. May be shared by threads.
pub struct ChatTemplate {
    environment: Environment<'static>,
    bos: String,
    eos: String,
}

impl ChatTemplate {
    /// Compiles a template. `bos` and `eos` are the texts of the model's special tokens.
    pub fn compile(source: &str, bos: &str, eos: &str) -> Result<ChatTemplate> {
        let mut environment = Environment::new();
        let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build();
        environment.set_syntax(syntax.map_err(|e| explain(&e))?);
        // Templates are written for Python: strings and lists have its methods.
        environment.set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
        environment.add_function("raise_exception", |text: String| -> std::result::Result<Value, _> {
            Err(minijinja::Error::new(ErrorKind::InvalidOperation, text))
        });
        environment.add_function("strftime_now", |format: String| -> std::result::Result<String, _> {
            jiff::fmt::strtime::format(format.as_str(), &jiff::Zoned::now())
                .map_err(|e| minijinja::Error::new(ErrorKind::InvalidOperation, e.to_string()))
        });
        environment.add_template_owned(NAME, source.to_owned()).map_err(|e| explain(&e))?;
        Ok(ChatTemplate { environment, bos: bos.to_owned(), eos: eos.to_owned() })
    }

    /// The text of a conversation; with `add_generation_prompt` it ends where the model's answer begins.
    ///
    /// Where the template refuses a system message, its text goes before the first user message.
    pub fn render(&self, messages: &[Message], add_generation_prompt: bool) -> Result<String> {
        self.try_render(messages, add_generation_prompt).or_else(|error| match merge_system(messages) {
            Some(merged) => self.try_render(&merged, add_generation_prompt),
            None => Err(error),
        })
    }

    fn try_render(&self, messages: &[Message], add_generation_prompt: bool) -> Result<String> {
        let messages: Vec<Value> = messages
            .iter()
            .map(|message| context! { role => message.role.name(), content => &message.content })
            .collect();
        let template = self.environment.get_template(NAME).map_err(|e| explain(&e))?;
        template
            .render(
                context! { messages, add_generation_prompt, bos_token => &self.bos, eos_token => &self.eos },
            )
            .map_err(|e| explain(&e))
    }
}

fn explain(error: &minijinja::Error) -> Error {
    let line = error.line().map_or(String::new(), |line| format!(" in line {line}"));
    let detail = error.detail().map_or_else(|| error.kind().to_string(), str::to_owned);
    Error::Prompt { reason: format!("the chat template failed{line}: {detail}") }
}

/// The messages with the system text in front of the first user message; None without a system message.
fn merge_system(messages: &[Message]) -> Option<Vec<Message>> {
    let (system, rest) = messages.split_first().filter(|(first, _)| first.role == Role::System)?;
    let mut rest = rest.to_vec();
    let user = rest.iter_mut().find(|message| message.role == Role::User)?;
    user.content = format!("{}\n\n{}", system.content, user.content);
    Some(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn talk() -> Vec<Message> {
        vec![
            Message::new(Role::System, "Be kind."),
            Message::new(Role::User, "Hi "),
            Message::new(Role::Assistant, "Hello"),
            Message::new(Role::User, "Bye"),
        ]
    }

    fn render(source: &str) -> Result<String> {
        ChatTemplate::compile(source, "<s>", "</s>")?.render(&talk(), true)
    }

    #[test]
    fn chatml() {
        let source = "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}\
            {{ '<|im_start|>system\\nDefault<|im_end|>\\n' }}{% endif %}\
            {{'<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n'}}{% endfor %}\
            {% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}";
        assert_eq!(
            render(source).unwrap(),
            "<|im_start|>system\nBe kind.<|im_end|>\n<|im_start|>user\nHi <|im_end|>\n<|im_start|>assistant\n\
             Hello<|im_end|>\n<|im_start|>user\nBye<|im_end|>\n<|im_start|>assistant\n"
        );
    }

    #[test]
    fn llama2_with_slices_and_python_methods() {
        let source = "{% if messages[0]['role'] == 'system' %}{% set loop_messages = messages[1:] %}\
            {% set system = messages[0]['content'] %}{% else %}{% set loop_messages = messages %}{% endif %}\
            {% for m in loop_messages %}{% if (m['role'] == 'user') != (loop.index0 % 2 == 0) %}\
            {{ raise_exception('roles must alternate') }}{% endif %}\
            {% if loop.index0 == 0 and system is defined %}{% set c = '<<SYS>>\\n' + system + '\\n<</SYS>>\\n\\n' \
            + m['content'] %}{% else %}{% set c = m['content'] %}{% endif %}{% if m['role'] == 'user' %}\
            {{ bos_token + '[INST] ' + c.strip() + ' [/INST]' }}{% else %}{{ ' ' + c.strip() + ' ' + eos_token }}\
            {% endif %}{% endfor %}";
        assert_eq!(
            render(source).unwrap(),
            "<s>[INST] <<SYS>>\nBe kind.\n<</SYS>>\n\nHi [/INST] Hello </s><s>[INST] Bye [/INST]"
        );
    }

    #[test]
    fn a_template_without_system_role_gets_it_in_the_first_user_message() {
        let source = "{{ bos_token }}{% for m in messages %}{% if m.role == 'system' %}\
            {{ raise_exception('System role not supported') }}{% endif %}\
            <start_of_turn>{{ 'model' if m.role == 'assistant' else m.role }}\n{{ m.content | trim }}<end_of_turn>\n\
            {% endfor %}{% if add_generation_prompt %}<start_of_turn>model\n{% endif %}";
        assert_eq!(
            render(source).unwrap(),
            "<s><start_of_turn>user\nBe kind.\n\nHi<end_of_turn>\n<start_of_turn>model\nHello<end_of_turn>\n\
             <start_of_turn>user\nBye<end_of_turn>\n<start_of_turn>model\n"
        );
    }

    #[test]
    fn namespaces_filters_and_loop_controls_work() {
        let source = "{% set ns = namespace(n=0) %}{% for m in messages %}{% if m.role == 'assistant' %}\
            {% continue %}{% endif %}{% set ns.n = ns.n + 1 %}{% endfor %}{{ ns.n }} \
            {{ messages[0] | tojson }} {{ 'a,b'.split(',')[-1] }} {{ 'x'.startswith('x') }}";
        assert_eq!(render(source).unwrap(), "3 {\"role\": \"system\", \"content\": \"Be kind.\"} b True");
    }

    #[test]
    fn blocks_leave_no_lines_behind() {
        let source = "{%- for m in messages %}\n    {% if m.role == 'user' %}\nU:{{ m.content }}\n    {% endif %}\n\
            {% endfor %}\n";
        assert_eq!(render(source).unwrap(), "U:Hi \nU:Bye\n");
    }

    #[test]
    fn errors_name_the_line() {
        let error = render("a\n{{ raise_exception('no such thing') }}").unwrap_err().to_string();
        assert_eq!(error, "prompt cannot be used: the chat template failed in line 2: no such thing");
        let error = ChatTemplate::compile("{% if %}", "", "").map(drop).unwrap_err().to_string();
        assert!(error.contains("in line 1"), "{error}");
    }

    #[test]
    fn the_date_is_todays() {
        let date = render("{{ strftime_now('%Y-%m-%d') }}").unwrap();
        assert!(date.len() == 10 && date.starts_with("20"), "{date}");
    }
}
