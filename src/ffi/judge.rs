//! A host's own judge: what to ask it, how to read its reply, and what a failure means.

use std::ffi::{c_char, c_void};

use super::arm::{SDA_ARM_INSTRUCTED, SDA_ARM_PLAIN, SDA_ARM_STEERED};
use super::guard::{guard, out};
use super::params::read_judge_request;
use super::text::{optional, report, text, write_text};
use crate::amplify::{Amplify, amplify};
use crate::error::{Error, Result};
use crate::judge::{
    Judge, JudgeRequest, OnFailure, ReplyFormat, Resolution, Template, Verdict, holds_score, parse_score,
    resolve,
};
use crate::quality::Quality;

/// Score by the instruction.
pub const SDA_DIMENSION_NONE: i32 = 0;
/// Score by empathy.
pub const SDA_DIMENSION_EMPATHY: i32 = 1;
/// Score by harmlessness.
pub const SDA_DIMENSION_HARMLESSNESS: i32 = 2;
/// Score by helpfulness.
pub const SDA_DIMENSION_HELPFULNESS: i32 = 3;
/// Score by reasoning.
pub const SDA_DIMENSION_REASONING: i32 = 4;
/// Score by truthfulness.
pub const SDA_DIMENSION_TRUTHFULNESS: i32 = 5;

/// The judge is asked for a JSON object {"score": N}.
pub const SDA_REPLY_JSON: i32 = 0;
/// The judge is asked for a last line SCORE: N.
pub const SDA_REPLY_LINE: i32 = 1;

/// Without a score: an error.
pub const SDA_ON_FAILURE_ERROR: i32 = 0;
/// Without a score: the plain answer.
pub const SDA_ON_FAILURE_PLAIN: i32 = 1;
/// Without a score: the instructed answer, without steering.
pub const SDA_ON_FAILURE_INSTRUCTED: i32 = 2;

/// What a judge is to score. All texts are UTF-8 and end with a NUL.
///
/// The query and the draft are nobody's words to obey: sda_judge_prompt() quotes them so that they cannot
/// pass for part of the question.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct CJudgeRequest {
    /// Size of this struct as the caller knows it: sizeof.
    pub struct_size: usize,
    /// What the user asked.
    pub query: *const c_char,
    /// The plain answer that is to be scored, without a model's thinking.
    pub draft: *const c_char,
    /// What the steered answer should be like. The draft is scored by it if there is no dimension, and it
    /// may be NULL if there is one.
    pub instruction: *const c_char,
    /// One of SDA_DIMENSION_*.
    pub dimension: i32,
    /// Reserved. Must be 0.
    pub flags: u32,
}

/// What follows from a judge's score, or from its failure.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct CJudgement {
    /// One of SDA_ARM_*: which distribution to draw the answer from.
    pub arm: i32,
    /// What the judge returned: SDA_OK, or why there is no score. SDA_ERR_JUDGE for a score out of range.
    pub judge_status: i32,
    /// The score, 1 to 100; 0 if there is none.
    pub score: f32,
    /// For sda_params; 0 if there is no score.
    pub amplification: f32,
}

/// Scores a draft: writes a number from 1 to 100 to `score` and returns SDA_OK, or returns any other status
/// if it has none. SDA_ERR_CANCELLED says that the user wants to stop. `request` lives until it returns; its
/// `instruction` may be NULL. It must not unwind or jump out.
pub type JudgeFn = Option<
    unsafe extern "C" fn(user_data: *mut c_void, request: *const CJudgeRequest, score: *mut f32) -> i32,
>;

/// Asks a host's judge, and turns its score into an amplification.
///
/// `judge` is called once, on this thread, with `user_data` (which may be NULL), unless the draft is blank,
/// which is a failure as if the judge had none. `function` is one of SDA_AMPLIFY_*. `on_failure` is one of
/// SDA_ON_FAILURE_* and says what to do when there is no score: no failure ever becomes an amplification.
/// `judgement` receives the outcome. SDA_ERR_JUDGE without a score under SDA_ON_FAILURE_ERROR;
/// SDA_ERR_CANCELLED when the judge returned that; SDA_ERR_PARAM for a request with neither instruction nor
/// dimension. Any number of threads may call it at once.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sda_judge_amplify(
    judge: JudgeFn,
    user_data: *mut c_void,
    request: *const CJudgeRequest,
    function: i32,
    on_failure: i32,
    judgement: *mut CJudgement,
) -> i32 {
    guard(|| {
        let to = out(judgement, "judgement")?;
        let call = judge.ok_or(Error::Null { name: "judge" })?;
        let (function, policy) = (Amplify::from_i32(function)?, on_failure_of(on_failure)?);
        // SAFETY: the caller says that `request` holds its `struct_size`, and live texts.
        let c_request = unsafe { read_judge_request(request)? };
        // SAFETY: as before.
        let request = unsafe { texts(&c_request)? };
        let mut judge = HostJudge { call, user_data, request: &c_request, status: 0 };
        let result = request.validate().and_then(|()| judge.score(&request, &|| false));
        let without = |arm| CJudgement {
            arm,
            judge_status: if judge.status == 0 { super::SDA_ERR_JUDGE } else { judge.status },
            score: 0.0,
            amplification: 0.0,
        };
        let outcome = match resolve(result, policy) {
            Resolution::Score(score) => CJudgement {
                arm: SDA_ARM_STEERED,
                judge_status: super::SDA_OK,
                score,
                amplification: amplify(function, score)? as f32,
            },
            Resolution::PlainOnly(_) => without(SDA_ARM_PLAIN),
            Resolution::InstructedOnly(_) => without(SDA_ARM_INSTRUCTED),
            Resolution::Err(error) => return Err(error),
        };
        // SAFETY: `to` was checked and the caller says that it can be written.
        unsafe { to.write(outcome) };
        Ok(())
    })
}

/// Writes the question for a judge that is a language model, as one user message.
///
/// It quotes query and draft between marker lines with a random code, so that nothing in them can end the
/// quotation, and says in which form to reply. `reply` is one of SDA_REPLY_*. `prompt_template` is the middle part,
/// with {draft} once and {query}, {criterion}, {instruction} and {nonce} at will; NULL is the built-in one.
/// `buffer` receives the text and a NUL, `size` is its room. `length` receives the length without the NUL.
/// `buffer` may be NULL to ask for the length alone, which is the same for every call with the same request.
/// SDA_ERR_LENGTH if the room is too small; SDA_ERR_PARAM for a bad template or a request with neither
/// instruction nor dimension; SDA_ERR_JUDGE for a blank draft. Any number of threads may call it at once.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sda_judge_prompt(
    request: *const CJudgeRequest,
    prompt_template: *const c_char,
    reply: i32,
    buffer: *mut c_char,
    size: usize,
    length: *mut usize,
) -> i32 {
    guard(|| {
        let to = out(length, "length")?;
        let reply = match reply {
            SDA_REPLY_JSON => ReplyFormat::Json,
            SDA_REPLY_LINE => ReplyFormat::Line,
            other => return Err(Error::param("reply", other, "one of SDA_REPLY_*")),
        };
        // SAFETY: the caller says that `request` holds its `struct_size`, and live texts.
        let c_request = unsafe { read_judge_request(request)? };
        // SAFETY: as before; `prompt_template` is NULL or such a text.
        let (request, template) =
            unsafe { (texts(&c_request)?, optional(prompt_template, "prompt_template")?) };
        let template = template.map_or(Ok(Template::default()), Template::parse)?;
        let prompt = template.render(&request, reply)?;
        if !buffer.is_null() {
            if size <= prompt.len() {
                return Err(Error::Length { what: "buffer", got: size, expected: prompt.len() + 1 });
            }
            // SAFETY: the caller says that there is room for `size` bytes, which were found enough.
            unsafe { write_text(&prompt, buffer) };
        }
        // SAFETY: `to` was checked and the caller says that it can be written.
        unsafe { to.write(prompt.len()) };
        Ok(())
    })
}

/// Reads the score in a judge's reply, strictly: a JSON object with one number `score`, or a last line
/// SCORE: N, from 1 to 100. A number anywhere else counts for nothing.
///
/// `request` is what was asked, or NULL; with it, a score that the query or the draft holds in one of these
/// forms is refused, since the reply may be an echo. `score` receives the number. `why`, with room for
/// `why_size` bytes, receives the reason of a failure and what came back, shortened; it may be NULL, and is
/// left alone on success. SDA_ERR_JUDGE if there is no score; SDA_ERR_ENCODING if the reply is not UTF-8.
/// Any number of threads may call it at once.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sda_judge_parse(
    request: *const CJudgeRequest,
    reply: *const c_char,
    score: *mut f32,
    why: *mut c_char,
    why_size: usize,
) -> i32 {
    guard(|| {
        let to = out(score, "score")?;
        // SAFETY: the caller says that `reply` is a live text.
        let reply = unsafe { text(reply, "reply")? };
        let mut held = [""; 2];
        if !request.is_null() {
            // SAFETY: the caller says that `request` holds its `struct_size`, and live texts.
            let request = unsafe { read_judge_request(request)? };
            // SAFETY: as before.
            held = unsafe { [text(request.query, "query")?, text(request.draft, "draft")?] };
        }
        let read = parse_score(reply).and_then(|score| match held.iter().any(|t| holds_score(t, score)) {
            false => Ok(score),
            true => Err(Error::Judge {
                reason: format!("the score {score} stands in the judged text and may be its echo"),
            }),
        });
        match read {
            // SAFETY: `to` was checked and the caller says that it can be written.
            Ok(score) => unsafe { to.write(score) },
            Err(error) => {
                // SAFETY: the caller says that `why` is NULL or has room for `why_size` bytes.
                unsafe { report(&error, why, why_size) };
                return Err(error);
            }
        }
        Ok(())
    })
}

struct HostJudge<'a> {
    call: unsafe extern "C" fn(*mut c_void, *const CJudgeRequest, *mut f32) -> i32,
    user_data: *mut c_void,
    request: &'a CJudgeRequest,
    /// What the host returned.
    status: i32,
}

impl Judge for HostJudge<'_> {
    fn score(&mut self, _: &JudgeRequest<'_>, _: &dyn Fn() -> bool) -> Result<Verdict> {
        let mut score = f32::NAN;
        // SAFETY: the host says that its function may be called with its `user_data`; the other two live
        // until it returns.
        self.status = unsafe { (self.call)(self.user_data, self.request, &mut score) };
        match self.status {
            super::SDA_OK => Verdict::from_samples(vec![score]),
            super::SDA_ERR_CANCELLED => Err(Error::Cancelled),
            status => Err(Error::Judge { reason: format!("the host's judge returned {status}") }),
        }
    }

    fn describe(&self) -> String {
        "the host's judge".to_owned()
    }
}

fn on_failure_of(number: i32) -> Result<OnFailure> {
    match number {
        SDA_ON_FAILURE_ERROR => Ok(OnFailure::Error),
        SDA_ON_FAILURE_PLAIN => Ok(OnFailure::Plain),
        SDA_ON_FAILURE_INSTRUCTED => Ok(OnFailure::Instructed),
        other => Err(Error::param("on_failure", other, "one of SDA_ON_FAILURE_*")),
    }
}

fn dimension_of(number: i32) -> Result<Option<Quality>> {
    match number {
        SDA_DIMENSION_NONE => Ok(None),
        SDA_DIMENSION_EMPATHY => Ok(Some(Quality::Empathy)),
        SDA_DIMENSION_HARMLESSNESS => Ok(Some(Quality::Harmlessness)),
        SDA_DIMENSION_HELPFULNESS => Ok(Some(Quality::Helpfulness)),
        SDA_DIMENSION_REASONING => Ok(Some(Quality::Reasoning)),
        SDA_DIMENSION_TRUTHFULNESS => Ok(Some(Quality::Truthfulness)),
        other => Err(Error::param("dimension", other, "one of SDA_DIMENSION_*")),
    }
}

/// # Safety
/// The request's pointers are NULL or texts that live during `'a`.
unsafe fn texts<'a>(request: &CJudgeRequest) -> Result<JudgeRequest<'a>> {
    // SAFETY: see above.
    let (query, draft, instruction) = unsafe {
        (
            text(request.query, "query")?,
            text(request.draft, "draft")?,
            optional(request.instruction, "instruction")?,
        )
    };
    let dimension = dimension_of(request.dimension)?;
    Ok(JudgeRequest { query, draft, instruction: instruction.unwrap_or_default(), dimension })
}
