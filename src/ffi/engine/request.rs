//! What an answer is made with, read out of its struct and checked.

use std::ffi::c_char;

use super::super::arm::{SDA_ARM_INSTRUCTED, SDA_ARM_PLAIN, SDA_ARM_STEERED};
use super::super::judge::{dimension_of, on_failure_of};
use super::super::params::read_params;
use super::super::pointer::list;
use super::super::sized::read_sized;
use super::super::text::{optional, text};
use super::generate_params::{
    CGenerateParams, CTurn, SDA_PLACEMENT_AFTER, SDA_PLACEMENT_AUTO, SDA_PLACEMENT_BEFORE,
    SDA_PLACEMENT_SYSTEM,
};
use super::sampling::sampling;
use crate::amplify::Amplify;
use crate::engine::{Arm, Generation};
use crate::error::{Error, Result, excerpt};
use crate::judge::OnFailure;
use crate::llama::Grammar;
use crate::params::Params;
use crate::quality::Quality;
use crate::steer::MOST_INSTRUCTIONS;
use crate::strength::Strength;
use crate::text::{Instruction, InstructionPlacement, TemplateVariables, Turn};

/// A request, read and checked.
pub(super) struct Request<'a> {
    pub(super) c: CGenerateParams,
    pub(super) prompt: &'a str,
    pub(super) instructions: Vec<Instruction>,
    pub(super) negative: &'a str,
    pub(super) system: Option<&'a str>,
    pub(super) chat_template: Option<&'a str>,
    pub(super) template_variables: TemplateVariables,
    pub(super) history: Vec<Turn>,
    /// None: where it suits the model.
    pub(super) placement: Option<InstructionPlacement>,
    pub(super) arm: Arm,
    pub(super) settings: Generation,
    /// None: no judge is asked.
    pub(super) judge: Option<Judging>,
}

/// How the strength follows from a judge.
pub(super) struct Judging {
    /// What it scores by; None is the instruction.
    pub(super) dimension: Option<Quality>,
    pub(super) on_failure: OnFailure,
    pub(super) amplify: Amplify,
}

impl<'a> Request<'a> {
    /// # Safety
    /// `params` is NULL or points to as many bytes as its `struct_size` says; its texts and arrays are as
    /// the fields say, and nothing changes them during `'a`.
    pub(super) unsafe fn read(params: *const CGenerateParams) -> Result<Request<'a>> {
        // SAFETY: passed on.
        let c = unsafe { read_sized(params, "params")? };
        // SAFETY: passed on.
        let (prompt, instruction, preset, negative, system, chat_template, kwargs) = unsafe {
            (
                text(c.prompt, "prompt")?,
                optional(c.instruction, "instruction")?,
                optional(c.preset, "preset")?,
                optional(c.negative, "negative")?,
                optional(c.system, "system")?,
                optional(c.chat_template, "chat_template")?,
                optional(c.chat_template_kwargs, "chat_template_kwargs")?,
            )
        };
        if c.reserved != 0 {
            return Err(Error::param("reserved", c.reserved, "0"));
        }
        if c.on_text.is_none() {
            return Err(Error::Null { name: "on_text" });
        }
        // SAFETY: passed on.
        let several = unsafe { instructions(&c)? };
        let instructions = match (instruction, preset) {
            (Some(_), Some(preset)) => {
                return Err(Error::param("preset", preset, "NULL where instruction is not"));
            }
            (None, None) => several,
            _ if !several.is_empty() => {
                let value = several.len();
                return Err(Error::param(
                    "n_instructions",
                    value,
                    "0 where instruction or preset is not NULL",
                ));
            }
            (None, Some(preset)) => vec![Instruction::new(Quality::named("preset", preset)?.instruction())],
            (Some(instruction), None) => vec![Instruction::new(instruction)],
        };
        // SAFETY: passed on.
        let (turns, stops, params) = unsafe {
            (
                list(c.history, c.n_history, "history")?,
                list(c.stop, c.n_stop, "stop")?,
                if c.steering.is_null() { None } else { Some(read_params(c.steering)?.params) },
            )
        };
        let turn = |turn: &CTurn| -> Result<Turn> {
            // SAFETY: passed on.
            let (query, answer) = unsafe { (text(turn.query, "query")?, text(turn.answer, "answer")?) };
            Ok(Turn { query: query.to_owned(), answer: answer.to_owned() })
        };
        // SAFETY: passed on.
        let stop = |&stop: &*const c_char| Ok(unsafe { text(stop, "stop")? }.to_owned());
        // SAFETY: passed on.
        let (grammar, sampling, logit_bias) =
            unsafe { (grammar(&c)?, sampling(&c)?, list(c.logit_bias, c.n_logit_bias, "logit_bias")?) };
        let params = match (c.score, params) {
            (0.0, Some(params)) => params,
            (0.0, None) => Strength::default().apply(&Params::default())?,
            (score, params) => {
                Strength::score(score, Amplify::from_i32(c.amplify)?).apply(&params.unwrap_or_default())?
            }
        };
        let settings = Generation {
            params,
            sampling,
            logit_bias: logit_bias.iter().map(|one| (one.token, one.bias)).collect(),
            ignore_eos: c.ignore_eos != 0,
            context_shift: c.context_shift != 0,
            grammar,
            n_predict: match c.n_predict {
                -1 => None,
                n => Some(usize::try_from(n).map_err(|_| Error::param("n_predict", n, "at least 0, or -1"))?),
            },
            stop: stops.iter().map(stop).collect::<Result<_>>()?,
            steer_after_think: c.steer_after_think != 0,
            trace: c.trace != 0,
            ..Generation::default()
        };
        Ok(Request {
            c,
            prompt,
            instructions,
            negative: negative.unwrap_or_default(),
            system,
            chat_template,
            template_variables: kwargs.map(TemplateVariables::from_json).transpose()?.unwrap_or_default(),
            history: turns.iter().map(turn).collect::<Result<_>>()?,
            placement: placement(c.placement)?,
            arm: arm(c.arm)?,
            settings,
            judge: judging(&c)?,
        })
    }
}

/// The grammar that the answer keeps to.
///
/// # Safety
/// The texts are as the fields say.
unsafe fn grammar(c: &CGenerateParams) -> Result<Option<Grammar>> {
    // SAFETY: passed on.
    match unsafe { (optional(c.grammar, "grammar")?, optional(c.json_schema, "json_schema")?) } {
        (Some(_), Some(schema)) => {
            Err(Error::param("json_schema", excerpt(schema), "NULL where grammar is not"))
        }
        (Some(grammar), None) => Grammar::new(grammar).map(Some),
        (None, Some(schema)) => Grammar::from_json_schema(schema).map(Some),
        (None, None) => Ok(None),
    }
}

/// Several instructions with their weights.
///
/// # Safety
/// The texts and arrays are as the fields say.
unsafe fn instructions(c: &CGenerateParams) -> Result<Vec<Instruction>> {
    if c.n_instructions > MOST_INSTRUCTIONS {
        return Err(Error::param("n_instructions", c.n_instructions, "at most 8"));
    }
    // SAFETY: passed on.
    let (texts, weights) = unsafe {
        let weights = list(c.weights, if c.weights.is_null() { 0 } else { c.n_instructions }, "weights")?;
        (list(c.instructions, c.n_instructions, "instructions")?, weights)
    };
    let instruction = |(i, &pointer): (usize, &*const c_char)| {
        // SAFETY: passed on.
        let text = unsafe { text(pointer, "instructions")? };
        Ok(Instruction { text: text.to_owned(), weight: weights.get(i).copied().unwrap_or(1.0) })
    };
    texts.iter().enumerate().map(instruction).collect()
}

fn judging(c: &CGenerateParams) -> Result<Option<Judging>> {
    if c.judge == 0 {
        return Ok(None);
    }
    if c.score != 0.0 {
        return Err(Error::param("score", c.score, "0 where judge is not"));
    }
    if c.arm != SDA_ARM_STEERED {
        return Err(Error::param("arm", c.arm, "SDA_ARM_STEERED where judge is not 0"));
    }
    Ok(Some(Judging {
        dimension: dimension_of("judge_dimension", c.judge_dimension)?,
        on_failure: on_failure_of("on_judge_failure", c.on_judge_failure)?,
        amplify: Amplify::from_i32(c.amplify)?,
    }))
}

fn placement(value: i32) -> Result<Option<InstructionPlacement>> {
    match value {
        SDA_PLACEMENT_AUTO => Ok(None),
        SDA_PLACEMENT_AFTER => Ok(Some(InstructionPlacement::After)),
        SDA_PLACEMENT_BEFORE => Ok(Some(InstructionPlacement::Before)),
        SDA_PLACEMENT_SYSTEM => Ok(Some(InstructionPlacement::System)),
        _ => Err(Error::param("placement", value, "one of SDA_PLACEMENT_*")),
    }
}

fn arm(value: i32) -> Result<Arm> {
    match value {
        SDA_ARM_STEERED => Ok(Arm::Steered),
        SDA_ARM_INSTRUCTED => Ok(Arm::Instructed),
        SDA_ARM_PLAIN => Ok(Arm::Plain),
        _ => Err(Error::param("arm", value, "one of SDA_ARM_*")),
    }
}
