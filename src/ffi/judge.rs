//! A host's own judge: what to ask it, how to read its reply, and what a failure means.

use std::ffi::{c_char, c_void};

use super::arm::{SDA_ARM_INSTRUCTED, SDA_ARM_PLAIN, SDA_ARM_STEERED};
use super::pointer::Out;
use super::sized::{SizedOut, SizedStruct, init_sized, read_sized};
use super::text::{Buffer, ErrorText, optional, text};
use crate::amplify::{Amplify, amplify};
use crate::error::{Error, Result};
use crate::guard::guard;
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

/// What a judge is to score. Set it up with sda_judge_request_init(). All texts are UTF-8 and end with a NUL.
///
/// The query and the draft are nobody's words to obey: sda_judge_prompt() quotes them so that they cannot
/// pass for part of the question.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct CJudgeRequest {
    /// Size of this struct as the caller knows it; sda_judge_request_init() sets it.
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

// SAFETY: C's layout, numbers and pointers that may be NULL; the size comes first.
unsafe impl SizedStruct for CJudgeRequest {
    const NAME: &'static str = "sda_judge_request";
    const SMALLEST: usize = std::mem::offset_of!(CJudgeRequest, dimension);

    fn defaults() -> CJudgeRequest {
        CJudgeRequest {
            struct_size: size_of::<CJudgeRequest>(),
            query: std::ptr::null(),
            draft: std::ptr::null(),
            instruction: std::ptr::null(),
            dimension: SDA_DIMENSION_NONE,
            flags: 0,
        }
    }
}

/// Fills a struct with NULL and 0, and its size; `size` is sizeof *request. Errors as sda_params_init().
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sda_judge_request_init(request: *mut CJudgeRequest, size: usize) -> i32 {
    // SAFETY: the caller says that there are `size` bytes at `request`.
    guard(|| unsafe { init_sized(request, size) })
}

/// What follows from a judge's score, or from its failure. Set it up with sda_judgement_init().
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub struct CJudgement {
    /// Size of this struct as the caller knows it; sda_judgement_init() sets it.
    pub struct_size: usize,
    /// One of SDA_ARM_*: which distribution to draw the answer from.
    pub arm: i32,
    /// What the judge returned: SDA_OK, or why there is no score. SDA_ERR_JUDGE for a score out of range.
    pub judge_status: i32,
    /// The score, 1 to 100; 0 if there is none.
    pub score: f32,
    /// For sda_params; 0 if there is no score.
    pub amplification: f32,
}

// SAFETY: C's layout and numbers; the size comes first.
unsafe impl SizedStruct for CJudgement {
    const NAME: &'static str = "sda_judgement";
    const SMALLEST: usize = size_of::<CJudgement>();

    fn defaults() -> CJudgement {
        CJudgement::default()
    }
}

/// Sets a struct up to be written to; `size` is sizeof *judgement. Errors as sda_params_init().
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sda_judgement_init(judgement: *mut CJudgement, size: usize) -> i32 {
    // SAFETY: the caller says that there are `size` bytes at `judgement`.
    guard(|| unsafe { init_sized(judgement, size) })
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
/// which is a failure as if the judge had no score. `function` is one of SDA_AMPLIFY_*. `on_failure` is one of
/// SDA_ON_FAILURE_* and says what to do when there is no score: no failure ever becomes an amplification.
/// `judgement` receives the outcome.
///
/// SDA_ERR_JUDGE without a score under SDA_ON_FAILURE_ERROR; SDA_ERR_CANCELLED when the judge returned that;
/// SDA_ERR_PARAM for a request with neither instruction nor dimension.
///
/// Any number of threads may call it at once.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sda_judge_amplify(
    judge: JudgeFn,
    user_data: *mut c_void,
    request: *const CJudgeRequest,
    function: i32,
    on_failure: i32,
    error: *mut c_char,
    error_size: usize,
    judgement: *mut CJudgement,
) -> i32 {
    guard(|| {
        // SAFETY: the caller says that `request` and `judgement` hold their `struct_size`, the former live texts,
        // and lends room for a text.
        let (error, to, request) = unsafe {
            (ErrorText::new(error, error_size), SizedOut::new(judgement, "judgement"), read(request))
        };
        error.tell(|| {
            let (to, (c_request, request)) = (to?, request?);
            let call = judge.ok_or(Error::Null { name: "judge" })?;
            let (function, policy) = (Amplify::from_i32(function)?, on_failure_of("on_failure", on_failure)?);
            let mut judge = HostJudge { call, user_data, request: &c_request, status: 0 };
            let result = request.validate().and_then(|()| judge.score(&request, &|| false));
            let without = |arm| CJudgement {
                arm,
                judge_status: if judge.status == 0 { super::SDA_ERR_JUDGE } else { judge.status },
                ..CJudgement::default()
            };
            let outcome = match resolve(result, policy) {
                Resolution::Score(score) => CJudgement {
                    arm: SDA_ARM_STEERED,
                    judge_status: super::SDA_OK,
                    score,
                    amplification: amplify(function, score)? as f32,
                    ..CJudgement::default()
                },
                Resolution::PlainOnly(_) => without(SDA_ARM_PLAIN),
                Resolution::InstructedOnly(_) => without(SDA_ARM_INSTRUCTED),
                Resolution::Err(error) => return Err(error),
            };
            to.write(&outcome);
            Ok(())
        })
    })
}

/// Writes the question for a judge that is a language model, as one user message. It quotes query and draft
/// between marker lines with a random code, so that nothing in them can end the quotation, and says in which
/// form to reply.
///
/// `prompt_template` is the middle part, with {draft} once and {query}, {criterion}, {instruction} and {nonce}
/// at will; NULL is the built-in one. `reply` is one of SDA_REPLY_*. `buffer` receives the text and a NUL, `size`
/// is its room. `length` receives the length without the NUL. `buffer` may be NULL to ask for the length alone,
/// which is the same for every call with the same request.
///
/// SDA_ERR_LENGTH if the room is too small; SDA_ERR_PARAM for a bad template or a request with neither
/// instruction nor dimension; SDA_ERR_JUDGE for a blank draft.
///
/// Any number of threads may call it at once.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sda_judge_prompt(
    request: *const CJudgeRequest,
    prompt_template: *const c_char,
    reply: i32,
    error: *mut c_char,
    error_size: usize,
    buffer: *mut c_char,
    size: usize,
    length: *mut usize,
) -> i32 {
    guard(|| {
        // SAFETY: the caller says that `request` holds its `struct_size` and live texts, `prompt_template` is
        // NULL or such a text, and lends room for both texts and for the length.
        let (error, to, request, template, buffer) = unsafe {
            let (error, buffer) = (ErrorText::new(error, error_size), Buffer::new(buffer, size));
            let template = optional(prompt_template, "prompt_template");
            (error, Out::new(length, "length"), read(request), template, buffer)
        };
        error.tell(|| {
            let (to, (_, request), template) = (to?, request?, template?);
            let reply = match reply {
                SDA_REPLY_JSON => ReplyFormat::Json,
                SDA_REPLY_LINE => ReplyFormat::Line,
                other => return Err(Error::param("reply", other, "one of SDA_REPLY_*")),
            };
            let template = template.map_or(Ok(Template::default()), Template::parse)?;
            let prompt = template.render(&request, reply)?;
            if let Some(buffer) = buffer {
                buffer.write(&prompt)?;
            }
            to.write(prompt.len());
            Ok(())
        })
    })
}

/// Reads the score in a judge's reply, strictly: a JSON object with one number `score`, or a last line
/// SCORE: N, from 1 to 100. A number anywhere else counts for nothing.
///
/// `request` is what was asked, or NULL; with it, a score that the query or the draft holds in one of these
/// forms is refused, since the reply may be an echo. `score` receives the number.
///
/// SDA_ERR_JUDGE if there is no score, with a text that quotes what came back, shortened; SDA_ERR_ENCODING if
/// the reply is not UTF-8.
///
/// Any number of threads may call it at once.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sda_judge_parse(
    request: *const CJudgeRequest,
    reply: *const c_char,
    error: *mut c_char,
    error_size: usize,
    score: *mut f32,
) -> i32 {
    guard(|| {
        // SAFETY: the caller says that `reply` is a live text, `request` is NULL or holds its `struct_size` and
        // live texts, and lends room for a text and for the score.
        let (error, to, reply, held) = unsafe {
            let error = ErrorText::new(error, error_size);
            let held = if request.is_null() { Ok([""; 2]) } else { read_judged(request) };
            (error, Out::new(score, "score"), text(reply, "reply"), held)
        };
        error.tell(|| {
            let (to, reply, held) = (to?, reply?, held?);
            let score = parse_score(reply)?;
            if held.iter().any(|text| holds_score(text, score)) {
                let reason = format!("the score {score} stands in the judged text and may be its echo");
                return Err(Error::Judge { reason });
            }
            to.write(score);
            Ok(())
        })
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

pub(super) fn on_failure_of(field: &'static str, number: i32) -> Result<OnFailure> {
    match number {
        SDA_ON_FAILURE_ERROR => Ok(OnFailure::Error),
        SDA_ON_FAILURE_PLAIN => Ok(OnFailure::Plain),
        SDA_ON_FAILURE_INSTRUCTED => Ok(OnFailure::Instructed),
        other => Err(Error::param(field, other, "one of SDA_ON_FAILURE_*")),
    }
}

pub(super) fn dimension_of(field: &'static str, number: i32) -> Result<Option<Quality>> {
    match number {
        SDA_DIMENSION_NONE => Ok(None),
        SDA_DIMENSION_EMPATHY => Ok(Some(Quality::Empathy)),
        SDA_DIMENSION_HARMLESSNESS => Ok(Some(Quality::Harmlessness)),
        SDA_DIMENSION_HELPFULNESS => Ok(Some(Quality::Helpfulness)),
        SDA_DIMENSION_REASONING => Ok(Some(Quality::Reasoning)),
        SDA_DIMENSION_TRUTHFULNESS => Ok(Some(Quality::Truthfulness)),
        other => Err(Error::param(field, other, "one of SDA_DIMENSION_*")),
    }
}

/// Reads a request of a caller of any version.
///
/// # Safety
/// `request` is NULL or points to as many bytes as its `struct_size` says.
unsafe fn read_request(request: *const CJudgeRequest) -> Result<CJudgeRequest> {
    // SAFETY: passed on.
    let mut read = unsafe { read_sized(request, "request")? };
    if read.flags != 0 {
        return Err(Error::param("flags", read.flags, "0"));
    }
    // It is handed on to the host's judge, as a struct of this version.
    read.struct_size = size_of::<CJudgeRequest>();
    Ok(read)
}

/// Reads a request, and its texts.
///
/// # Safety
/// As for [`read_request`], and its pointers are NULL or texts that live during `'a`.
pub(super) unsafe fn read<'a>(request: *const CJudgeRequest) -> Result<(CJudgeRequest, JudgeRequest<'a>)> {
    // SAFETY: passed on.
    let (c, [query, draft], instruction) = unsafe {
        let c = read_request(request)?;
        (c, judged(c)?, optional(c.instruction, "instruction")?)
    };
    let dimension = dimension_of("dimension", c.dimension)?;
    Ok((c, JudgeRequest { query, draft, instruction: instruction.unwrap_or_default(), dimension }))
}

/// Reads a request of which only query and draft matter.
///
/// # Safety
/// As for [`read`].
unsafe fn read_judged<'a>(request: *const CJudgeRequest) -> Result<[&'a str; 2]> {
    // SAFETY: passed on.
    unsafe { judged(read_request(request)?) }
}

/// Query and draft of a request.
///
/// # Safety
/// Both pointers are NULL or texts that live during `'a`.
unsafe fn judged<'a>(request: CJudgeRequest) -> Result<[&'a str; 2]> {
    // SAFETY: passed on.
    unsafe { Ok([text(request.query, "query")?, text(request.draft, "draft")?]) }
}
