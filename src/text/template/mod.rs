//! Chat templates: from messages to the text of a prompt, and the proof that it holds them.
//!
//! Templates are the Jinja source that a GGUF file carries, rendered as Hugging Face does it, or one of those that
//! llama.cpp has under a name.

mod args;
#[cfg(test)]
mod differential;
mod filters;
mod held;
mod jinja;
mod metered;
mod print;
mod source;
mod strings;
mod variables;

use minijinja::context;
use minijinja::value::Value;

use crate::error::{Error, Result, excerpt};
use jinja::Jinja;
pub use variables::TemplateVariables;

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
    /// As templates call it.
    pub(crate) fn name(self) -> &'static str {
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

    fn value(&self, content: Content) -> Value {
        let text = &self.content;
        match content {
            Content::Text => context! { role => self.role.name(), content => text },
            Content::Parts => {
                context! { role => self.role.name(), content => vec![context! { type => "text", text }] }
            }
        }
    }
}

/// What a template finds as the content of a message.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Content {
    /// Its text.
    Text,
    /// A list of one part that holds the text, for templates that also know images.
    Parts,
}

/// A chat template, ready to render. May be shared by threads.
pub struct ChatTemplate {
    engine: Engine,
    variables: TemplateVariables,
}

enum Engine {
    Jinja(Box<Jinja>),
    Function(Box<Function>),
}

type Function = dyn Fn(&[Message], bool) -> Result<String> + Send + Sync;

impl ChatTemplate {
    /// Compiles a Jinja template. `bos` and `eos` are the texts of the model's special tokens.
    ///
    /// # Errors
    /// [`Error::Prompt`] with the line, where its syntax is wrong or it is longer or nested more deeply than a
    /// template may be.
    pub fn compile(source: &str, bos: &str, eos: &str) -> Result<ChatTemplate> {
        let engine = Engine::Jinja(Box::new(Jinja::compile(source, bos, eos)?));
        Ok(ChatTemplate { engine, variables: TemplateVariables::default() })
    }

    /// A template that is a function of the messages, and of whether to add the beginning of an answer.
    pub fn from_fn(
        render: impl Fn(&[Message], bool) -> Result<String> + Send + Sync + 'static,
    ) -> ChatTemplate {
        ChatTemplate { engine: Engine::Function(Box::new(render)), variables: TemplateVariables::default() }
    }

    /// Sets variables of the template. They stand before `bos_token` and others of the same names.
    ///
    /// # Errors
    /// [`Error::Param`] if there are some and the template is no Jinja.
    pub fn with_variables(mut self, variables: TemplateVariables) -> Result<ChatTemplate> {
        if matches!(self.engine, Engine::Function(_)) && !variables.is_empty() {
            return Err(variables
                .refuse("empty where the template is one of llama.cpp's own, which have no variables"));
        }
        self.variables = variables;
        Ok(self)
    }

    /// The text of a conversation; with `add_generation_prompt` it ends where the model's answer begins.
    ///
    /// The text holds every message, but for what a template may take away: white space around it, case, the
    /// reasoning in earlier answers, and words that switch a model's thinking. Where the template drops messages
    /// that are texts, they are lists of one part. Where it refuses or drops a system message, its text goes before
    /// the first user message.
    ///
    /// # Errors
    /// [`Error::Prompt`] where the template fails, drops a message, or does more work than a template may do.
    pub fn render(&self, messages: &[Message], add_generation_prompt: bool) -> Result<String> {
        let render = || self.render_any(messages, add_generation_prompt);
        match self.engine {
            Engine::Jinja(_) => jinja::on_large_stack(render),
            Engine::Function(_) => render(),
        }
    }

    /// The first of the ways to write the messages that keeps all of them.
    fn render_any(&self, messages: &[Message], add_generation_prompt: bool) -> Result<String> {
        let merged = merge_system(messages);
        let mut failure = None;
        for messages in std::iter::once(messages).chain(merged.as_deref()) {
            for content in [Content::Text, Content::Parts] {
                match self.render_whole(messages, content, add_generation_prompt) {
                    Ok(text) => return Ok(text),
                    Err(error) => drop(failure.get_or_insert(error)),
                }
            }
        }
        Err(failure.unwrap_or(Error::Panic))
    }

    /// A text that holds all messages.
    fn render_whole(&self, messages: &[Message], content: Content, generation: bool) -> Result<String> {
        let text = self.render_once(messages, content, generation)?;
        // Python's way to print a list is no way to write a message.
        let printed = content == Content::Parts
            && ["{'type': 'text'", "{\"type\": \"text\""].iter().any(|p| text.contains(p));
        let lost = held::missing(&text, messages).or(messages.first().filter(|_| printed)).or_else(|| {
            let (marked, marks) = held::marked(messages);
            let other = self.render_once(&marked, content, generation).ok()?;
            held::unmarked(&other, messages, &marks)
        });
        match lost {
            None => Ok(text),
            Some(lost) => Err(Error::Prompt {
                reason: format!(
                    "the chat template drops the {} message \"{}\", or a part of it",
                    lost.role.name(),
                    excerpt(&lost.content)
                ),
            }),
        }
    }

    /// What the template makes of the messages, unchecked.
    #[cfg(test)]
    fn render_unchecked(&self, messages: &[Message], generation: bool) -> Result<String> {
        jinja::on_large_stack(|| self.render_once(messages, Content::Text, generation))
    }

    fn render_once(&self, messages: &[Message], content: Content, generation: bool) -> Result<String> {
        match &self.engine {
            Engine::Jinja(jinja) => jinja.render(messages, content, generation, &self.variables),
            Engine::Function(render) if content == Content::Text => render(messages, generation),
            Engine::Function(_) => Err(Error::Prompt { reason: "the chat template takes texts only".into() }),
        }
    }
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

    /// Of templates that do not write the messages.
    fn unchecked(source: &str) -> Result<String> {
        ChatTemplate::compile(source, "<s>", "</s>")?.render_unchecked(&talk(), true)
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
        assert_eq!(unchecked(source).unwrap(), "3 {\"role\": \"system\", \"content\": \"Be kind.\"} b True");
    }

    #[test]
    fn blocks_leave_no_lines_behind() {
        let source = "{%- for m in messages %}\n    {% if m.role == 'user' %}\nU:{{ m.content }}\n    {% endif %}\n\
            {% endfor %}\n";
        assert_eq!(unchecked(source).unwrap(), "U:Hi \nU:Bye\n");
    }

    #[test]
    fn errors_name_the_line() {
        let error = render("a\n{{ raise_exception('no such thing') }}").unwrap_err().to_string();
        assert_eq!(error, "prompt cannot be used: the chat template failed in line 2: no such thing");
        let error = ChatTemplate::compile("{% if %}", "", "").map(drop).unwrap_err().to_string();
        assert!(error.contains("in line 1"), "{error}");
    }

    #[test]
    fn what_a_template_says_of_an_error_is_short_and_commands_no_terminal() {
        // minijinja panics at this name.
        let error = render("{{ '%(\u{e9})s' % {} }}").unwrap_err().to_string();
        assert!(error.contains("the chat template failed: an internal error of minijinja: "), "{error}");
        let error = render("{{ raise_exception('\u{1b}[2J' + 'a' * 100000) }}").unwrap_err().to_string();
        assert!(error.len() < 400 && error.contains("\\u{1b}[2Jaaa") && error.ends_with("aaa..."), "{error}");
    }

    #[test]
    fn the_date_is_todays() {
        let date = unchecked("{{ strftime_now('%Y-%m-%d') }}").unwrap();
        assert!(date.len() == 10 && date.starts_with("20"), "{date}");
    }

    /// Takes content as a list of parts.
    const TYPED: &str = "{% for m in messages %}<{{ m['role'] }}>{% for part in m['content'] %}\
        {% if part['type'] == 'text' %}{{ part['text'] }}{% endif %}{% endfor %}{% endfor %}";
    /// Knows users and assistants only.
    const NO_SYSTEM: &str = "{% for m in messages %}{% if m['role'] == 'user' %}<user>{{ m['content'] }}\
        {% elif m['role'] == 'assistant' %}<assistant>{{ m['content'] }}{% endif %}{% endfor %}";

    #[test]
    fn a_template_that_takes_parts_gets_them() {
        assert_eq!(render(TYPED).unwrap(), "<system>Be kind.<user>Hi <assistant>Hello<user>Bye");
        let raises = "{% for m in messages %}{% if m.content is string %}{{ raise_exception('parts') }}{% endif %}\
            {{ m.content[0].text }}|{% endfor %}";
        assert_eq!(render(raises).unwrap(), "Be kind.|Hi |Hello|Bye|");
    }

    #[test]
    fn a_template_that_drops_the_system_role_gets_it_in_the_first_user_message() {
        assert_eq!(render(NO_SYSTEM).unwrap(), "<user>Be kind.\n\nHi <assistant>Hello<user>Bye");
        let typed = TYPED.replace(
            "<{{ m['role'] }}>",
            "{% if m.role == 'system' %}{% continue %}{% endif %}<{{ m.role }}>",
        );
        assert_eq!(render(&typed).unwrap(), "<user>Be kind.\n\nHi <assistant>Hello<user>Bye");
    }

    #[test]
    fn a_dropped_message_is_an_error_even_if_the_template_has_its_words() {
        let messages = [Message::new(Role::User, "user")];
        let template = ChatTemplate::compile("<user></user>", "", "").unwrap();
        let error = template.render(&messages, true).unwrap_err().to_string();
        let expected =
            "prompt cannot be used: the chat template drops the user message \"user\", or a part of it";
        assert_eq!(error, expected);
        let printed =
            ChatTemplate::compile("{% for m in messages %}{{ m.content[:9] }}{% endfor %}", "", "").unwrap();
        assert!(printed.render(&[Message::new(Role::User, "a text of more characters")], true).is_err());
        assert!(ChatTemplate::from_fn(|_, _| Ok("user".into())).render(&messages, true).is_err());
    }

    #[test]
    fn what_a_template_does_to_white_space_case_and_markup_is_its_own_matter() {
        for change in ["|trim", "|lower", "|upper", "|e", "|tojson", ".strip().title()", ".split()|join(' ')"]
        {
            let source = format!("{{% for m in messages %}}<{{{{ m.content{change} }}}}>{{% endfor %}}");
            let messages = [Message::new(Role::User, " Say \"hi\" \n to <Ann> & É ")];
            let template = ChatTemplate::compile(&source, "", "").unwrap();
            assert!(template.render(&messages, true).is_ok(), "{change}");
        }
    }

    #[test]
    fn a_switch_in_the_system_message_may_be_taken_out() {
        let source = "{% set sys = messages[0].content if messages[0].role == 'system' else '' %}\
            {% if '/no_think' in sys %}off{% else %}on{% endif %}|{{ sys.replace('/no_think', '').rstrip() }}|\
            {{ messages[-1].content }}";
        let template = ChatTemplate::compile(source, "", "").unwrap();
        for (system, expected) in
            [("/no_think", "off||Hi"), ("Be brief. /no_think", "off|Be brief.|Hi"), ("x", "on|x|Hi")]
        {
            let messages = [Message::new(Role::System, system), Message::new(Role::User, "Hi")];
            assert_eq!(template.render(&messages, true).unwrap(), expected);
        }
        let drops = ChatTemplate::compile("{{ messages[-1].content }}", "", "").unwrap();
        let messages = [Message::new(Role::System, "/no_think"), Message::new(Role::User, "Hi")];
        assert_eq!(drops.render(&messages, true).unwrap(), "/no_think\n\nHi");
    }

    #[test]
    fn variables_are_the_templates_and_stand_before_its_tokens() {
        let source = "{{ messages[0].content }}{% if enable_thinking is defined and not enable_thinking %}<think></think>\
            {% endif %}{{ bos_token }}{% for key in order %}{{ key }}{% endfor %}{{ tools is none }}";
        let render = |json: &str| {
            let variables = TemplateVariables::from_json(json).unwrap();
            let template =
                ChatTemplate::compile(source, "<s>", "").unwrap().with_variables(variables).unwrap();
            template.render(&[Message::new(Role::User, "Hi")], true).unwrap()
        };
        assert_eq!(render("{}"), "Hi<s>True");
        assert_eq!(render("{\"enable_thinking\": true}"), "Hi<s>True");
        assert_eq!(render("{\"enable_thinking\": false, \"bos_token\": \"B\"}"), "Hi<think></think>BTrue");
        assert_eq!(render("{\"order\": {\"z\": 1, \"a\": 2}, \"tools\": []}"), "Hi<s>zaFalse");
    }

    #[test]
    fn variables_are_a_json_object_without_what_the_conversation_says() {
        for (json, allowed) in [
            ("", "must be a JSON object"),
            ("{\"a\": 1", "must be a JSON object"),
            ("[1]", "must be a JSON object"),
            ("null", "must be a JSON object"),
            ("{\"messages\": []}", "must be without messages and add_generation_prompt"),
            ("{\"a\": 1, \"add_generation_prompt\": null}", "must be without messages"),
        ] {
            let error = TemplateVariables::from_json(json).unwrap_err();
            assert_eq!(error.code(), -2);
            let error = error.to_string();
            assert!(
                error.starts_with(&format!("chat_template_kwargs is {json}, ")) && error.contains(allowed),
                "{error}"
            );
        }
        let some = TemplateVariables::from_json("{\"a\": 1}").unwrap();
        let function = || ChatTemplate::from_fn(|_, _| Ok(String::new()));
        assert!(function().with_variables(some).is_err());
        assert!(function().with_variables(TemplateVariables::from_json("{}").unwrap()).is_ok());
    }
}
