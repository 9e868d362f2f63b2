//! From the command line's texts to the two prompts.

use sda::engine::Prompts;
use sda::llama::Model;
use sda::text::{
    ChatTemplate, Instruction, InstructionPlacement, PairBuilder, PromptPair, PromptSet, TemplateVariables,
    Turn,
};
use serde::Serialize;

use crate::args::{GenerateArgs, Placement, PromptArgs};
use crate::failure::{Failure, Outcome};
use crate::input::{object, read_text};
use crate::record::Query;
use crate::ui::console::note;

/// The query of `sda generate`.
pub fn query(args: &GenerateArgs) -> Outcome<String> {
    match (&args.prompt, &args.file) {
        (Some(text), _) => args.common.prompt.escapes.read("--prompt", text),
        (None, Some(path)) => {
            if let Some(option) = args.list.needs_list() {
                return Err(Failure::Usage(format!(
                    "{option} is for a list of queries, and {} is taken for one query by its name: add --batch",
                    path.display()
                )));
            }
            let text = read_text(path)?;
            if is_list(&text) {
                note(&format!(
                    "{} looks like a list of queries and is taken for one: --batch answers each",
                    path.display()
                ));
            }
            Ok(text)
        }
        (None, None) => Err(Failure::Usage("no query: give -p TEXT or -f FILE".into())),
    }
}

/// True for lines that are all records of a list.
pub fn is_list(text: &str) -> bool {
    let is_record =
        |line: &str| object::<Query>(line).is_ok_and(|asked| asked.query.is_some() || asked.prompt.is_some());
    let mut lines = text.lines().filter(|line| !line.trim().is_empty()).peekable();
    lines.peek().is_some() && lines.all(is_record)
}

fn text_or_file(text: Option<String>, file: Option<&std::path::PathBuf>) -> Outcome<Option<String>> {
    match (text, file) {
        (Some(text), _) => Ok(Some(text)),
        (None, Some(path)) => read_text(path).map(Some),
        (None, None) => Ok(None),
    }
}

/// What the prompts are made of, read once, whatever model they are for. Results depend on all of it.
#[derive(Debug, Serialize)]
pub struct PromptTexts {
    /// The text of all instructions that are asked for, empty if none was given.
    pub instruction: String,
    /// Single ones; what depends on them has their prompts.
    #[serde(skip)]
    instructions: Vec<Instruction>,
    system: Option<String>,
    negative: Option<String>,
    /// In place of the model's own.
    template: Option<String>,
    no_template: bool,
    placement: Option<Placement>,
    /// `--chat-template-kwargs`. Absent without, as in files that are older than it.
    #[serde(skip_serializing_if = "Option::is_none")]
    template_kwargs: Option<serde_json::Value>,
    #[serde(skip)]
    variables: TemplateVariables,
}

impl PromptTexts {
    pub fn read(args: &PromptArgs) -> Outcome<PromptTexts> {
        let typed = |option, text: &Option<String>| {
            text.as_ref().map(|text| args.escapes.read(option, text)).transpose()
        };
        let instructions = instructions(args)?;
        // Jinja has escapes of its own.
        let template = text_or_file(args.chat_template.clone(), args.chat_template_file.as_ref())?;
        if template.as_ref().is_some_and(|template| template.trim().is_empty()) {
            let allowed = "a Jinja template or the name of one of llama.cpp's; --no-template is none";
            return Err(sda::Error::param("chat_template", "empty", allowed).into());
        }
        let kwargs = args.chat_template_kwargs.as_deref();
        let variables = kwargs.map(TemplateVariables::from_json).transpose()?.unwrap_or_default();
        Ok(PromptTexts {
            instruction: Instruction::joined(&instructions),
            instructions,
            system: text_or_file(
                typed("--system-prompt", &args.system_prompt)?,
                args.system_prompt_file.as_ref(),
            )?,
            negative: typed("--negative-prompt", &args.negative_prompt)?,
            template,
            no_template: args.no_template,
            placement: args.instruction_placement,
            // Read once already.
            template_kwargs: kwargs.and_then(|json| serde_json::from_str(json).ok()),
            variables,
        })
    }

    /// The chat template in place of the model's own; empty is none.
    fn source(&self) -> Option<&str> {
        if self.no_template { Some("") } else { self.template.as_deref() }
    }

    /// The chat template with further variables, which stand before those of the command line.
    #[cfg(feature = "server")]
    pub fn template_with(
        &self,
        model: &Model,
        more: &crate::input::Fields,
    ) -> sda::Result<Option<ChatTemplate>> {
        let mut all = more.clone();
        for (name, value) in self.template_kwargs.iter().filter_map(|it| it.as_object()).flatten() {
            all.entry(name).or_insert_with(|| value.clone());
        }
        let variables = TemplateVariables::from_json(&serde_json::Value::from(all).to_string())?;
        model.template(self.source(), &variables)
    }
}

/// The instructions of the command line with their weights.
fn instructions(args: &PromptArgs) -> Outcome<Vec<Instruction>> {
    let texts: Vec<String> = match args.preset {
        Some(preset) => vec![preset.instruction().to_owned()],
        None if args.instruction.is_empty() => {
            args.instruction_file.iter().map(|path| read_text(path)).collect::<Outcome<_>>()?
        }
        None => args.escapes.read_all("--instruction", &args.instruction)?,
    };
    let (weights, n) = (&args.instruction_weights, texts.len());
    if !weights.is_empty() && weights.len() != n {
        return Err(Failure::Usage(format!(
            "--instruction-weights has {} numbers, must have one for each instruction, of which there are {n}",
            weights.len()
        )));
    }
    let weight = |i: usize| weights.get(i).copied().unwrap_or(1.0);
    let weighted = texts.into_iter().enumerate().map(|(i, text)| Instruction { text, weight: weight(i) });
    let instructions: Vec<Instruction> = weighted.collect();
    match Instruction::check(&instructions) {
        Ok(()) => Ok(instructions),
        Err(error @ sda::Error::Param { field: "weights", .. }) => {
            Err(Failure::Usage(format!("--instruction-{error}")))
        }
        Err(error) => Err(Failure::Usage(error.to_string())),
    }
}

/// A query with what goes with it.
#[derive(Clone, Copy)]
pub struct Asked<'a> {
    /// None gives raw text.
    pub template: Option<&'a ChatTemplate>,
    pub system: Option<&'a str>,
    pub history: &'a [Turn],
    pub query: &'a str,
    pub instructions: &'a [Instruction],
    pub negative: &'a str,
    /// None for where it stands by default.
    pub placement: Option<Placement>,
}

impl Asked<'_> {
    /// The prompts as text.
    pub fn prompts(&self) -> sda::Result<PromptSet> {
        self.builder().build_many(self.instructions)
    }

    fn builder(&self) -> PairBuilder<'_> {
        let Asked { template, system, history, query, negative, .. } = *self;
        let placement = match (self.placement, template.is_some()) {
            (Some(Placement::After), _) | (None, true) => InstructionPlacement::After,
            (Some(Placement::Before), _) | (None, false) => InstructionPlacement::Before,
            (Some(Placement::System), _) => InstructionPlacement::System,
        };
        PairBuilder { template, system, history, query, instruction: "", placement, negative }
    }
}

/// Everything that turns queries into prompts, checked once.
pub struct Prompter {
    template: Option<ChatTemplate>,
    system: Option<String>,
    /// The text of all instructions that are asked for, empty if none was given: what a judge scores by.
    pub instruction: String,
    /// The instructions with their weights.
    pub instructions: Vec<Instruction>,
    negative: Option<String>,
    placement: Option<Placement>,
}

impl Prompter {
    pub fn new(texts: &PromptTexts, model: &Model) -> Outcome<Prompter> {
        let template = model.template(texts.source(), &texts.variables)?;
        Ok(Prompter {
            template,
            system: texts.system.clone(),
            instruction: texts.instruction.clone(),
            instructions: texts.instructions.clone(),
            negative: texts.negative.clone(),
            placement: texts.placement,
        })
    }

    /// True if the branches of all prompts are the same, unless a record brings its own instruction.
    pub fn steers_nothing(&self) -> bool {
        self.instructions.iter().all(|instruction| instruction.text.is_empty()) && self.negative.is_none()
    }

    /// The model's chat template, or None for raw text.
    pub fn template(&self) -> Option<&ChatTemplate> {
        self.template.as_ref()
    }

    /// Both prompts of a query that stands alone.
    pub fn single(&self, query: &str) -> sda::Result<PromptPair> {
        self.asked(&[], query).builder().build()
    }

    /// The prompts as text.
    pub fn set(&self, history: &[Turn], query: &str) -> Outcome<PromptSet> {
        self.set_with(history, query, &self.instructions)
    }

    /// The prompts as text, with other instructions.
    pub fn set_with(
        &self,
        history: &[Turn],
        query: &str,
        instructions: &[Instruction],
    ) -> Outcome<PromptSet> {
        Ok(Asked { instructions, ..self.asked(history, query) }.prompts()?)
    }

    /// How many branches of single instructions the prompts of any query need.
    pub fn n_singles(&self) -> Outcome<usize> {
        Ok(self.set(&[], "QUERY")?.singles.len())
    }

    /// A query with what the command line says.
    pub fn asked<'a>(&'a self, history: &'a [Turn], query: &'a str) -> Asked<'a> {
        Asked {
            template: self.template.as_ref(),
            system: self.system.as_deref(),
            history,
            query,
            instructions: &self.instructions,
            negative: self.negative.as_deref().unwrap_or_default(),
            placement: self.placement,
        }
    }

    /// The prompts as tokens.
    pub fn tokens(&self, model: &Model, set: &PromptSet) -> Outcome<Prompts> {
        Ok(Prompts::of(set, model)?)
    }
}
