//! The engine's handle: one answer at a time, which another thread may stop.

use std::ffi::c_char;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, TryLockError};

use super::super::judge::{CJudgeRequest, read as read_request};
use super::super::pointer::{Out, free, get};
use super::super::sized::SizedOut;
use super::super::text::{ErrorText, Message};
use super::answer::{CAnswer, CToken};
use super::generate_params::CGenerateParams;
use super::judged::{Decided, stopped};
use super::model::ModelHandle;
use super::request::Request;
use super::settings::{CEngineParams, Settings, read_engine};
use crate::engine::{Arm, Engine, Event, Finish, Generation, JudgeModel, LocalJudge, Prompts};
use crate::error::{Error, Result};
use crate::guard::{guard, guard_or};
use crate::judge::Judge;
use crate::llama::{ContextOptions, Model, Rope};
use crate::text::{ChatTemplate, InstructionPlacement, PairBuilder, TemplateVariables};

/// A model's context with everything that steered generation needs.
///
/// May move between threads. Two threads must not use it at once, but for sda_engine_cancel().
pub struct EngineHandle {
    /// A panic while it is locked poisons the lock, and so the engine.
    engine: Mutex<Judged>,
    cancel: AtomicBool,
    message: Message,
}

/// An engine, and who scores its drafts.
struct Judged {
    engine: Engine,
    /// None: the engine's own model.
    judge: Option<JudgeModel>,
}

impl Judged {
    /// The judge; `template` is the chat template of the engine's model.
    fn judge<'a>(&'a mut self, template: Option<&'a ChatTemplate>) -> LocalJudge<'a> {
        match &mut self.judge {
            Some(judge) => judge.judge().with_n_ctx_name("judge_n_ctx"),
            None => self.engine.judge(template),
        }
    }
}

impl EngineHandle {
    fn new(model: &Model, settings: &Settings) -> Result<EngineHandle> {
        let engine =
            Engine::with_singles(model, settings.n_ctx, settings.max_instructions, &settings.options)?;
        let judge = |model| {
            let n_ctx = match settings.judge_n_ctx {
                0 => JudgeModel::default_n_ctx(model, engine.n_ctx()),
                n => n,
            };
            // What scales the positions of another model is none of its business.
            let options = ContextOptions { rope: Rope::default(), ..settings.options };
            JudgeModel::new(model, n_ctx, &options)
        };
        let judge = settings.judge_model.map(judge).transpose()?;
        Ok(EngineHandle {
            engine: Mutex::new(Judged { engine, judge }),
            cancel: AtomicBool::new(false),
            message: Message::default(),
        })
    }

    /// Runs `body` on the engine; an error is kept for sda_engine_error(), a panic poisons the engine. A
    /// second call while one runs is an error and does not wait: it may come from the callback.
    fn with<T>(&self, body: impl FnOnce(&mut Judged) -> Result<T>) -> Result<T> {
        self.message.keep(|| match self.engine.try_lock() {
            Ok(mut engine) => body(&mut engine),
            Err(TryLockError::Poisoned(_)) => Err(Error::Panic),
            Err(TryLockError::WouldBlock) => {
                Err(Error::State { reason: "the engine is generating; only cancelling is possible".into() })
            }
        })
    }
}

/// Makes the context for a prompt pair, and that of `judge_model`, if `params` names one.
///
/// Both models may be freed before the engine. `params` may be NULL for the defaults.
///
/// `engine` receives the handle; free it with sda_engine_free().
///
/// SDA_ERR_MODEL if there is not enough memory, SDA_ERR_PARAM for a setting out of range.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sda_engine_new(
    model: *const ModelHandle,
    params: *const CEngineParams,
    error: *mut c_char,
    error_size: usize,
    engine: *mut *mut EngineHandle,
) -> i32 {
    guard(|| {
        // SAFETY: the caller says that the models are live and `params` is NULL or holds its `struct_size`, and
        // lends room for a text and for the handle.
        let (error, to, model, settings) = unsafe {
            let error = ErrorText::new(error, error_size);
            (error, Out::new(engine, "engine"), get(model, "model"), read_engine(params))
        };
        error.tell(|| {
            let (to, model, settings) = (to?, model?.model(), settings?);
            to.hand_out(EngineHandle::new(model, &settings)?);
            Ok(())
        })
    })
}

/// Frees an engine; NULL is fine. No thread may be generating with it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sda_engine_free(engine: *mut EngineHandle) {
    // SAFETY: the caller says that it is NULL or a live handle.
    guard_or((), || unsafe { free(engine) })
}

/// Generates one answer, and returns when it is finished.
///
/// `params` says what is asked and how; its `on_text` receives the answer. What the KV cache holds of the prompts
/// from earlier calls is used again. `answer` receives what it cost, and may be NULL. An answer that the callback
/// or sda_engine_cancel() stopped, or that filled the context, is not an error: see `finish`.
///
/// With `judge` set a plain draft is written and scored first, and `answer` also receives the score. Without a score
/// the answer is what `on_judge_failure` says, and never steered: see `arm` and `judge_status`.
///
/// SDA_ERR_JUDGE for a judge without a score under SDA_ON_FAILURE_ERROR, SDA_ERR_PROMPT for an empty prompt, for a
/// chat template that is wrong, works too long or drops a text, and for an instruction that makes no difference,
/// SDA_ERR_CONTEXT_FULL if the prompts do not fit, SDA_ERR_PARAM for a
/// setting out of range, SDA_ERR_ENCODING for a text that is not UTF-8, SDA_ERR_STATE if the engine is generating
/// already.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sda_engine_generate(
    engine: *mut EngineHandle,
    params: *const CGenerateParams,
    answer: *mut CAnswer,
) -> i32 {
    guard(|| {
        // SAFETY: the caller says that the handle is live.
        let handle = unsafe { get(engine, "engine")? };
        handle.with(|engine| {
            // SAFETY: the caller says that `params` and all that it points to is live, and `answer` is NULL or
            // has its `struct_size`.
            let (request, to) = unsafe { (Request::read(params)?, SizedOut::optional(answer, "answer")?) };
            handle.cancel.store(false, Ordering::Relaxed);
            let done = generate(engine, &request, &handle.cancel)?;
            if let Some(to) = to {
                to.write(&done);
            }
            Ok(())
        })
    })
}

fn generate(judged: &mut Judged, request: &Request, cancel: &AtomicBool) -> Result<CAnswer> {
    let model = judged.engine.model().clone();
    let template = model.template(request.chat_template, &request.template_variables)?;
    // A base model continues the end of the prompt, so that has to be the query.
    let suits = if template.is_some() { InstructionPlacement::After } else { InstructionPlacement::Before };
    let pair = PairBuilder {
        template: template.as_ref(),
        system: request.system,
        history: &request.history,
        query: request.prompt,
        instruction: "",
        negative: request.negative,
        placement: request.placement.unwrap_or(suits),
    };
    let prompts = Prompts::of(&pair.build_many(&request.instructions)?, &model)?;
    let is_cancelled = || cancel.load(Ordering::Relaxed);
    let decided = match &request.judge {
        None => Decided::by(request),
        Some(judging) => {
            let settings = Generation { trace: false, ..request.settings.clone() };
            let draft = judged.engine.generate(Arm::Plain, &prompts, &settings, &mut |_| !is_cancelled())?;
            if draft.finish == Finish::Cancelled {
                return Ok(stopped(draft.tokens.len()));
            }
            let mut judge = judged.judge(template.as_ref());
            match Decided::by_judge(&mut judge, request, judging, &draft, prompts.thinking, &is_cancelled) {
                Err(Error::Cancelled) => return Ok(stopped(draft.tokens.len())),
                decided => decided?,
            }
        }
    };
    let settings = Generation { params: decided.params, ..request.settings.clone() };
    let mut output = Output { request, text: Vec::new() };
    let answer = judged.engine.generate(decided.arm, &prompts, &settings, &mut |event| {
        let wanted = match event {
            Event::Prefill { .. } => true,
            Event::Token(record) => output.send(&record.text, Some(&record.into())),
            Event::Tail(text) => output.send(text, None),
        };
        wanted && !is_cancelled()
    })?;
    Ok(decided.tell(&answer))
}

/// Where the text goes: the host's callback.
struct Output<'a> {
    request: &'a Request<'a>,
    /// The last piece, with its final NUL.
    text: Vec<u8>,
}

impl Output<'_> {
    /// Passes a piece to the host; false if it wants no more.
    fn send(&mut self, text: &str, token: Option<&CToken>) -> bool {
        let Some(on_text) = self.request.c.on_text else { return false };
        self.text.clear();
        self.text.extend_from_slice(text.as_bytes());
        self.text.push(0);
        let token = token.map_or(std::ptr::null(), std::ptr::from_ref);
        // SAFETY: the host says that function and data are valid during its call of sda_engine_generate().
        unsafe { on_text(self.text.as_ptr().cast(), text.len(), token, self.request.c.user_data) == 0 }
    }
}

/// Scores a draft, from 1 to 100: by the engine's `judge_model`, or by its own model if it has none.
///
/// The model writes nothing: the score is the number that it expects to write. `score` receives it. Its prompt holds
/// query, draft and instruction (or what stands for `dimension`) in the chat template of the judge's model.
///
/// SDA_ERR_JUDGE for a blank draft, or one that does not fit into the judge's context; SDA_ERR_PARAM for a request
/// with neither instruction nor dimension; SDA_ERR_CANCELLED after sda_engine_cancel(); SDA_ERR_STATE if the engine
/// is generating.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sda_engine_score(
    engine: *mut EngineHandle,
    request: *const CJudgeRequest,
    score: *mut f32,
) -> i32 {
    guard(|| {
        // SAFETY: the caller says that the handle is live.
        let handle = unsafe { get(engine, "engine")? };
        handle.with(|judged| {
            // SAFETY: the caller says that `request` holds its `struct_size` and live texts, and lends room for the
            // score.
            let ((_, request), to) = unsafe { (read_request(request)?, Out::new(score, "score")?) };
            handle.cancel.store(false, Ordering::Relaxed);
            let template = judged.engine.model().template(None, &TemplateVariables::default())?;
            let cancel = || handle.cancel.load(Ordering::Relaxed);
            to.write(judged.judge(template.as_ref()).score(&request, &cancel)?.score);
            Ok(())
        })
    })
}

/// Stops the answer or score that is being computed, after the present token or part of a prompt;
/// does nothing if there is none.
///
/// Any thread may call it while another one uses the engine; it is the one function of which this is true.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sda_engine_cancel(engine: *mut EngineHandle) -> i32 {
    guard(|| {
        // SAFETY: the caller says that the handle is live.
        unsafe { get(engine, "engine")? }.cancel.store(true, Ordering::Relaxed);
        Ok(())
    })
}

/// Text of the last call on the engine that failed, empty if there was none.
///
/// NULL for NULL. Valid until the next call on the same engine.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sda_engine_error(engine: *const EngineHandle) -> *const c_char {
    // SAFETY: the caller says that it is NULL or a live handle.
    guard_or(std::ptr::null(), || match unsafe { get(engine, "engine") } {
        Ok(engine) => engine.message.as_ptr(),
        Err(_) => std::ptr::null(),
    })
}

#[cfg(test)]
mod tests {
    use super::super::settings::read_engine;
    use super::*;
    use crate::llama::ModelOptions;

    #[test]
    fn after_a_panic_an_engine_can_only_be_freed() {
        let path = std::env::var("SDA_TEST_MODEL").expect("SDA_TEST_MODEL is not set: run `make test`");
        crate::llama::set_log(|_| {});
        let model = Model::load(path.as_ref(), &ModelOptions::default(), |_| true).unwrap();
        // SAFETY: NULL is fine.
        let settings = Settings { n_ctx: 64, ..unsafe { read_engine(std::ptr::null()) }.unwrap() };
        let engine = Box::into_raw(Box::new(EngineHandle::new(&model, &settings).unwrap()));
        // SAFETY: the handle is live and freed once.
        unsafe {
            let hook = std::panic::take_hook();
            std::panic::set_hook(Box::new(|_| {}));
            let result = (*engine).with(|_| -> Result<()> { panic!("forced by a test") });
            std::panic::set_hook(hook);
            assert_eq!(result, Err(Error::Panic));
            let status = sda_engine_generate(engine, std::ptr::null(), std::ptr::null_mut());
            assert_eq!(status, Error::Panic.code());
            let text = std::ffi::CStr::from_ptr(sda_engine_error(engine));
            assert!(text.to_str().unwrap().contains("panic"));
            sda_engine_free(engine);
        }
    }
}
