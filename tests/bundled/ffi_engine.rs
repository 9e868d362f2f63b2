//! The engine in C, called as C does. Runs on a real model.

#![allow(unsafe_code, reason = "it calls the C interface as C does")]

use std::ffi::{CStr, CString, c_char, c_void};
use std::ptr::{null, null_mut};

use sda::ffi::*;
use sda_test_kit::ffi::{made, text};

pub const QUERY: &CStr = c"What is the capital of France?";
pub const PIRATE: &CStr = c"Answer like a pirate.";

pub fn model_path() -> String {
    std::env::var("SDA_TEST_MODEL").expect("SDA_TEST_MODEL is not set: run `make test`")
}

/// A model's handle.
pub fn load(path: &str) -> *mut ModelHandle {
    let (path, mut model, mut error) = (CString::new(path).unwrap(), null_mut(), [0; 200]);
    // SAFETY: all pointers are live.
    let status = unsafe { sda_model_new(path.as_ptr(), null(), error.as_mut_ptr(), error.len(), &mut model) };
    assert_eq!(status, SDA_OK, "{}", text(error.as_ptr()));
    model
}

/// An engine on the test model, whose handle is freed already. One thread, as these tests run side by side.
pub struct Engine(pub *mut EngineHandle);

impl Engine {
    fn new(n_ctx: u32) -> Engine {
        Engine::with(|params| params.n_ctx = n_ctx)
    }

    pub fn with(change: impl FnOnce(&mut CEngineParams)) -> Engine {
        Engine::of(load(&model_path()), change)
    }

    /// An engine on a model, whose handle it frees.
    pub fn of(model: *mut ModelHandle, change: impl FnOnce(&mut CEngineParams)) -> Engine {
        Engine::made(model, change).unwrap_or_else(|error| panic!("{error}"))
    }

    /// Why there is no engine on the test model.
    pub fn refused(change: impl FnOnce(&mut CEngineParams)) -> String {
        Engine::made(load(&model_path()), change).err().expect("it was made")
    }

    fn made(model: *mut ModelHandle, change: impl FnOnce(&mut CEngineParams)) -> Result<Engine, String> {
        let (mut engine, mut error) = (null_mut(), [0; 200]);
        let mut params = CEngineParams { n_threads: 1, ..made(sda_engine_params_init) };
        change(&mut params);
        // SAFETY: all pointers are live.
        unsafe {
            let status = sda_engine_new(model, &params, error.as_mut_ptr(), error.len(), &mut engine);
            sda_model_free(model);
            if status == SDA_OK { Ok(Engine(engine)) } else { Err(text(error.as_ptr())) }
        }
    }

    pub fn error(&self) -> String {
        // SAFETY: the handle lives.
        text(unsafe { sda_engine_error(self.0) })
    }

    pub fn generate(&self, change: impl FnOnce(&mut CGenerateParams)) -> Result<(Heard, CAnswer), i32> {
        let mut heard = Heard { engine: self.0, ..Heard::default() };
        let mut params = params(&mut heard);
        change(&mut params);
        let mut answer = made(sda_answer_init);
        // SAFETY: all pointers are live.
        match unsafe { sda_engine_generate(self.0, &params, &mut answer) } {
            SDA_OK => Ok((heard, answer)),
            status => Err(status),
        }
    }

    pub fn text(&self, change: impl FnOnce(&mut CGenerateParams)) -> String {
        let heard = self.generate(change);
        heard.unwrap_or_else(|status| panic!("{status}: {}", self.error())).0.text
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        // SAFETY: freed once.
        unsafe { sda_engine_free(self.0) }
    }
}

/// What the callback was told, and what it is to do.
pub struct Heard {
    engine: *mut EngineHandle,
    pub text: String,
    pub tokens: Vec<CToken>,
    tails: usize,
    /// Called for each token; anything but 0 stops.
    reply: fn(&mut Heard) -> i32,
    statuses: Vec<i32>,
}

impl Default for Heard {
    fn default() -> Heard {
        Heard {
            engine: null_mut(),
            text: String::new(),
            tokens: Vec::new(),
            tails: 0,
            reply: |_| 0,
            statuses: Vec::new(),
        }
    }
}

unsafe extern "C" fn hear(piece: *const c_char, size: usize, token: *const CToken, data: *mut c_void) -> i32 {
    // SAFETY: the test passed a `Heard`; the library's pointers are as the header says.
    unsafe {
        let heard = &mut *data.cast::<Heard>();
        let bytes = std::slice::from_raw_parts(piece.cast::<u8>(), size + 1);
        assert_eq!(bytes[size], 0);
        heard.text.push_str(std::str::from_utf8(&bytes[..size]).expect("whole characters"));
        match token.as_ref() {
            Some(token) => heard.tokens.push(*token),
            None => heard.tails += 1,
        }
        (heard.reply)(heard)
    }
}

/// Eight greedy tokens of an answer to the query.
fn params(heard: &mut Heard) -> CGenerateParams {
    static GREEDY: std::sync::OnceLock<Steering> = std::sync::OnceLock::new();
    CGenerateParams {
        prompt: QUERY.as_ptr(),
        instruction: PIRATE.as_ptr(),
        steering: &GREEDY.get_or_init(|| steering(0.5, 0.0)).0,
        n_predict: 8,
        on_text: Some(hear),
        user_data: std::ptr::from_mut(heard).cast(),
        ..made(sda_generate_params_init)
    }
}

struct Steering(CParams);
// SAFETY: plain numbers.
unsafe impl Sync for Steering {}
// SAFETY: plain numbers.
unsafe impl Send for Steering {}

fn steering(amplification: f32, temperature: f32) -> Steering {
    Steering(CParams { amplification, temperature, ..made(sda_params_init) })
}

#[test]
fn an_answer_comes_in_pieces_with_a_record_for_every_token() {
    let engine = Engine::new(512);
    let (heard, answer) = engine.generate(|p| p.trace = 1).unwrap();
    assert_eq!((heard.tokens.len(), answer.n_tokens, answer.finish), (8, 8, SDA_FINISH_LENGTH));
    assert!(!heard.text.is_empty());
    for (i, token) in heard.tokens.iter().enumerate() {
        assert_eq!((token.index, token.struct_size), (i, size_of::<CToken>()));
        assert!((0.0..=std::f32::consts::LN_2).contains(&token.divergence));
        assert_eq!((token.temperature, token.guidance), (0.0, 2.0));
        assert!(token.logprob_plain <= 0.0 && token.logprob_instructed <= 0.0);
    }
    assert!(answer.prefill_shared > 20 && answer.prefill_reused == 0 && answer.mean_divergence > 0.0);
    // The next answer to the same prompts reads next to nothing, and says the same.
    let (again, answer) = engine.generate(|_| ()).unwrap();
    assert_eq!(again.text, heard.text);
    assert!(again.tokens[0].logprob_plain.is_nan(), "not traced");
    assert!(answer.prefill_decoded < 8 && answer.prefill_reused > 20);
}

#[test]
fn arms_presets_scores_and_templates_have_their_effect() {
    let engine = Engine::new(512);
    let steered = engine.text(|_| ());
    let plain = engine.text(|p| p.arm = SDA_ARM_PLAIN);
    let instructed = engine.text(|p| p.arm = SDA_ARM_INSTRUCTED);
    assert!(steered != plain && plain != instructed);
    // A perfect draft is not steered: the instruction alone is left.
    let perfect = engine.generate(|p| p.score = 100.0).unwrap().0;
    assert_eq!((perfect.text.as_str(), perfect.tokens[0].guidance), (instructed.as_str(), 1.0));
    // Without settings the scale is the command's.
    let scale = engine.generate(|p| p.steering = null()).unwrap().0.tokens[0].guidance;
    assert_eq!(scale, 1.5);
    let preset = engine.text(|p| (p.instruction, p.preset) = (null(), c"empathy".as_ptr()));
    let raw = engine.text(|p| p.chat_template = c"".as_ptr());
    let named = engine.text(|p| p.chat_template = c"vicuna".as_ptr());
    let thinking = c"{% for m in messages %}{{ m.content }}\n{% endfor %}{{ start }}";
    let kwargs = engine.text(|p| {
        (p.chat_template, p.chat_template_kwargs) = (thinking.as_ptr(), c"{\"start\":\"No\"}".as_ptr());
    });
    let no_kwargs = engine.text(|p| p.chat_template = thinking.as_ptr());
    assert_ne!(kwargs, no_kwargs);
    let system = engine.text(|p| p.placement = SDA_PLACEMENT_SYSTEM);
    let none = engine.text(|p| p.instruction = null());
    assert_eq!(none, plain);
    assert!([&preset, &raw, &named, &system].iter().all(|&text| *text != steered));
    let turns = [CTurn { query: c"Hello".as_ptr(), answer: c"Ahoy!".as_ptr() }];
    let history = engine.generate(|p| (p.history, p.n_history) = (turns.as_ptr(), 1)).unwrap();
    assert!(history.1.prefill_decoded > 20, "another conversation");
    let word = steered.split_whitespace().next_back().unwrap();
    let stop = CString::new(word).unwrap();
    let stops = [stop.as_ptr()];
    let (cut, answer) = engine.generate(|p| (p.stop, p.n_stop) = (stops.as_ptr(), 1)).unwrap();
    assert_eq!(
        (cut.text.as_str(), answer.finish),
        (&steered[..steered.find(word).unwrap()], SDA_FINISH_STOP)
    );
}

unsafe extern "C" fn no_score(_: *mut c_void, _: *const CJudgeRequest, _: *mut f32) -> i32 {
    SDA_ERR_IO
}

#[test]
fn the_arm_of_a_judgement_is_the_arm_to_generate() {
    let engine = Engine::new(512);
    let request = CJudgeRequest {
        query: QUERY.as_ptr(),
        draft: c"Paris.".as_ptr(),
        instruction: PIRATE.as_ptr(),
        ..made(sda_judge_request_init)
    };
    // A traced token has a log-probability in the branches that its arm runs on.
    let branches = |policy| {
        let mut judgement = made(sda_judgement_init);
        let (data, function, to) = (null_mut(), SDA_AMPLIFY_SIGMOID, &mut judgement);
        // SAFETY: all pointers are live or NULL where that is fine.
        let status =
            unsafe { sda_judge_amplify(Some(no_score), data, &request, function, policy, null_mut(), 0, to) };
        assert_eq!(status, SDA_OK);
        let token = engine.generate(|p| (p.arm, p.trace) = (judgement.arm, 1)).unwrap().0.tokens[0];
        (token.logprob_plain.is_finite(), token.logprob_instructed.is_finite())
    };
    assert_eq!(branches(SDA_ON_FAILURE_PLAIN), (true, false));
    assert_eq!(branches(SDA_ON_FAILURE_INSTRUCTED), (false, true));
}

#[test]
fn text_that_was_held_back_comes_last() {
    let engine = Engine::new(512);
    let whole = engine.text(|_| ());
    // The answer ends in what might become the stop text.
    let stop = CString::new(format!("{}#", whole.chars().last().unwrap())).unwrap();
    let stops = [stop.as_ptr()];
    let (heard, answer) = engine.generate(|p| (p.stop, p.n_stop) = (stops.as_ptr(), 1)).unwrap();
    assert_eq!((heard.text, heard.tails, answer.finish), (whole, 1, SDA_FINISH_LENGTH));
}

#[test]
fn several_instructions_steer_with_their_weights() {
    let room = |params: &mut CEngineParams| (params.n_ctx, params.max_instructions) = (256, 2);
    let (wide, narrow) = (Engine::with(room), Engine::new(256));
    let one = narrow.text(|_| ());
    let texts = [PIRATE.as_ptr(), c"Use one short sentence.".as_ptr()];
    let set = |p: &mut CGenerateParams, n: usize, weights: *const f32| {
        (p.instruction, p.instructions, p.weights, p.n_instructions) = (null(), texts.as_ptr(), weights, n);
    };
    assert_eq!(wide.text(|p| set(p, 1, null())), one, "one of weight 1 is the instruction");
    let (heard, answer) = wide.generate(|p| set(p, 2, null())).unwrap();
    let ones = wide.generate(|p| set(p, 2, [1.0f32; 2].as_ptr())).unwrap().0;
    assert_eq!((&ones.text, heard.tokens.len()), (&heard.text, 8));
    assert!(answer.prefill_shared > 0);
    assert_ne!(heard.text, one);
    let away = wide.text(|p| set(p, 2, [1.0f32, -1.0].as_ptr()));
    assert_ne!(away, heard.text);
    assert_eq!(narrow.generate(|p| set(p, 2, null())).err(), Some(SDA_ERR_PARAM));
    assert!(narrow.error().contains("the pair has 0"), "{}", narrow.error());
}

#[test]
fn the_callback_and_another_thread_can_stop_an_answer() {
    let engine = Engine::new(512);
    let stopped = |reply: fn(&mut Heard) -> i32| {
        let mut heard = Heard { engine: engine.0, reply, ..Heard::default() };
        let params = CGenerateParams { n_predict: -1, ..params(&mut heard) };
        let mut answer = made(sda_answer_init);
        // SAFETY: all pointers are live.
        assert_eq!(unsafe { sda_engine_generate(engine.0, &params, &mut answer) }, SDA_OK);
        assert_eq!((answer.finish, answer.n_tokens), (SDA_FINISH_CANCELLED, 3));
        heard
    };
    stopped(|heard| (heard.tokens.len() == 3).into());
    // From another thread, while this one waits in the callback.
    stopped(|heard| {
        if heard.tokens.len() == 3 {
            let engine = heard.engine.expose_provenance();
            let cancel = move || {
                // SAFETY: the engine lives, and this is the one function that may be called meanwhile.
                unsafe { sda_engine_cancel(std::ptr::with_exposed_provenance_mut(engine)) }
            };
            assert_eq!(std::thread::spawn(cancel).join().unwrap(), SDA_OK);
        }
        0
    });
    // Any other call is refused, and does not wait for ever.
    let heard = stopped(|heard| {
        let mut inner = Heard::default();
        let params = params(&mut inner);
        // SAFETY: the engine lives.
        heard.statuses.push(unsafe { sda_engine_generate(heard.engine, &params, null_mut()) });
        (heard.tokens.len() == 3).into()
    });
    assert_eq!(heard.statuses, [SDA_ERR_STATE; 3]);
    // A cancel between answers is not kept for the next one.
    // SAFETY: the engine lives.
    assert_eq!(unsafe { sda_engine_cancel(engine.0) }, SDA_OK);
    assert_eq!(engine.generate(|_| ()).unwrap().1.finish, SDA_FINISH_LENGTH);
}

#[test]
fn a_full_context_ends_an_answer_and_refuses_a_prompt() {
    let engine = Engine::new(64);
    let (_, answer) = engine.generate(|p| p.n_predict = -1).unwrap();
    assert!([SDA_FINISH_CONTEXT_FULL, SDA_FINISH_END].contains(&answer.finish));
    let long = CString::new("word ".repeat(200)).unwrap();
    assert_eq!(engine.generate(|p| p.prompt = long.as_ptr()).err(), Some(SDA_ERR_CONTEXT_FULL));
    assert!(engine.error().contains("context is full"), "{}", engine.error());
    engine.generate(|_| ()).unwrap();
}

#[test]
fn wrong_requests_are_refused_with_a_reason() {
    let engine = Engine::new(256);
    let bad = [0xffu8, 0];
    let nan = steering(f32::NAN, 0.6);
    let query = QUERY.as_ptr();
    type Change<'a> = Box<dyn FnOnce(&mut CGenerateParams) + 'a>;
    let cases: Vec<(Change, i32, &str)> = vec![
        (Box::new(|p| p.prompt = null()), SDA_ERR_NULL, "prompt is NULL"),
        (Box::new(|p| p.on_text = None), SDA_ERR_NULL, "on_text is NULL"),
        (Box::new(|p| p.n_stop = 1), SDA_ERR_NULL, "stop is NULL"),
        (Box::new(|p| p.n_history = 1), SDA_ERR_NULL, "history is NULL"),
        (Box::new(|p| p.prompt = c" ".as_ptr()), SDA_ERR_PROMPT, "query is empty"),
        (Box::new(|p| p.prompt = bad.as_ptr().cast()), SDA_ERR_ENCODING, "prompt is not UTF-8"),
        (Box::new(|p| p.system = bad.as_ptr().cast()), SDA_ERR_ENCODING, "system is not UTF-8"),
        (Box::new(|p| p.preset = c"empathy".as_ptr()), SDA_ERR_PARAM, "preset is empathy, must be NULL"),
        (
            Box::new(|p| (p.instruction, p.preset) = (null(), c"kindness".as_ptr())),
            SDA_ERR_PARAM,
            "preset is kindness",
        ),
        (
            Box::new(|p| (p.instructions, p.n_instructions) = (&query, 1)),
            SDA_ERR_PARAM,
            "n_instructions is 1, must be 0",
        ),
        (Box::new(|p| (p.instruction, p.n_instructions) = (null(), 1)), SDA_ERR_NULL, "instructions is NULL"),
        (Box::new(|p| (p.instruction, p.n_instructions) = (null(), 9)), SDA_ERR_PARAM, "n_instructions is 9"),
        (
            Box::new(|p| {
                (p.instruction, p.instructions, p.n_instructions) = (null(), &query, 1);
                p.weights = &f32::NAN;
            }),
            SDA_ERR_PARAM,
            "weights is NaN",
        ),
        (Box::new(|p| p.score = 101.0), SDA_ERR_PARAM, "score is 101"),
        (Box::new(|p| (p.score, p.amplify) = (50.0, 9)), SDA_ERR_PARAM, "amplify function is 9"),
        (Box::new(|p| p.steering = &nan.0), SDA_ERR_PARAM, "amplification is NaN"),
        (Box::new(|p| p.top_p = 2.0), SDA_ERR_PARAM, "top_p is 2"),
        (Box::new(|p| p.n_predict = -2), SDA_ERR_PARAM, "n_predict is -2"),
        (Box::new(|p| p.placement = 4), SDA_ERR_PARAM, "placement is 4"),
        (Box::new(|p| p.arm = -1), SDA_ERR_PARAM, "arm is -1"),
        (Box::new(|p| p.struct_size = 8), SDA_ERR_VERSION, "struct_size is 8"),
        (Box::new(|p| p.chat_template = c"{% for".as_ptr()), SDA_ERR_PROMPT, "template"),
        (Box::new(|p| p.chat_template = c"chatm".as_ptr()), SDA_ERR_PARAM, "chat_template is chatm, must be"),
        (Box::new(|p| p.chat_template = c"{{ 1 }}".as_ptr()), SDA_ERR_PROMPT, "drops the user message"),
        (Box::new(|p| p.chat_template_kwargs = c"[]".as_ptr()), SDA_ERR_PARAM, "chat_template_kwargs is []"),
        (
            Box::new(|p| {
                (p.chat_template, p.chat_template_kwargs) = (c"".as_ptr(), c"{\"a\":1}".as_ptr());
            }),
            SDA_ERR_PARAM,
            "must be empty without a chat template",
        ),
    ];
    for (change, status, reason) in cases {
        assert_eq!(engine.generate(change).err(), Some(status), "{reason}: {}", engine.error());
        assert!(engine.error().contains(reason), "{reason}: {}", engine.error());
    }
    engine.generate(|_| ()).unwrap();
}

#[test]
fn older_and_newer_callers_are_understood() {
    let engine = Engine::new(256);
    // A caller of the first version, which has a prompt and a callback only: the rest is as by default.
    let old = std::mem::offset_of!(CGenerateParams, instruction);
    let (heard, _) = engine.generate(|p| (p.struct_size, p.n_predict) = (old, 1)).unwrap();
    assert!(heard.tokens.len() > 1, "n_predict is beyond the old struct");
    #[repr(C)]
    struct Newer {
        params: CGenerateParams,
        later: usize,
    }
    let mut heard = Heard::default();
    for (later, status) in [(0, SDA_OK), (1, SDA_ERR_VERSION)] {
        let whole = size_of::<Newer>();
        let newer = Newer { params: CGenerateParams { struct_size: whole, ..params(&mut heard) }, later };
        // SAFETY: the struct has the size that it names.
        assert_eq!(unsafe { sda_engine_generate(engine.0, (&raw const newer).cast(), null_mut()) }, status);
    }
}

#[test]
fn models_and_engines_are_refused_with_a_reason_and_null_is_no_crash() {
    let (mut model, mut engine, mut error) = (null_mut(), null_mut(), [1; 24]);
    let good = CString::new(model_path()).unwrap();
    let manifest = c"Cargo.toml";
    // SAFETY: every pointer is NULL or live, handles are freed once.
    unsafe {
        let open = |path, error: &mut [c_char], model| {
            sda_model_new(path, null(), error.as_mut_ptr(), error.len(), model)
        };
        assert_eq!(open(c"no-such.gguf".as_ptr(), &mut error, &mut model), SDA_ERR_IO);
        assert_eq!(text(error.as_ptr()), "no-such.gguf: No such f", "cut, and ended");
        assert_eq!(open(manifest.as_ptr(), &mut error, &mut model), SDA_ERR_MODEL);
        assert_eq!(open(manifest.as_ptr(), &mut [], &mut model), SDA_ERR_MODEL);
        assert_eq!(sda_model_new(manifest.as_ptr(), null(), null_mut(), 9, &mut model), SDA_ERR_MODEL);
        assert_eq!(open(null(), &mut error, &mut model), SDA_ERR_NULL);
        assert_eq!(open(good.as_ptr(), &mut error, null_mut()), SDA_ERR_NULL);
        let any_bytes = if cfg!(unix) { SDA_ERR_IO } else { SDA_ERR_ENCODING };
        assert_eq!(open(c"\xff".as_ptr(), &mut error, &mut model), any_bytes);
        assert!(model.is_null());
        assert_eq!(open(good.as_ptr(), &mut error, &mut model), SDA_OK);
        let params = made(sda_engine_params_init);
        let new = |params: CEngineParams, engine| sda_engine_new(model, &params, null_mut(), 0, engine);
        // Of each, llama.cpp would end the process for one.
        for n_batch in [0, 1, 2, u32::MAX] {
            assert_eq!(new(CEngineParams { n_batch, ..params }, &mut engine), SDA_ERR_PARAM, "{n_batch}");
            assert_eq!(new(CEngineParams { n_ctx: 64, n_batch, ..params }, &mut engine), SDA_ERR_PARAM);
        }
        for n_ctx in [1, i32::MAX as u32, u32::MAX] {
            assert_eq!(new(CEngineParams { n_ctx, ..params }, &mut engine), SDA_ERR_PARAM, "{n_ctx}");
        }
        for threads in [513, i32::MAX as u32, u32::MAX] {
            assert_eq!(new(CEngineParams { n_threads: threads, ..params }, &mut engine), SDA_ERR_PARAM);
            assert_eq!(new(CEngineParams { n_threads_batch: threads, ..params }, &mut engine), SDA_ERR_PARAM);
        }
        let small = CEngineParams { n_ctx: 64, n_batch: 2, ..params };
        assert_eq!(
            sda_engine_new(model, &small, error.as_mut_ptr(), error.len(), &mut engine),
            SDA_ERR_PARAM
        );
        assert!(text(error.as_ptr()).starts_with("n_batch is 2, must be a"), "{}", text(error.as_ptr()));
        assert_eq!(new(CEngineParams { n_ubatch: 0, ..params }, &mut engine), SDA_ERR_PARAM);
        assert_eq!(new(CEngineParams { flash_attn: 2, ..params }, &mut engine), SDA_ERR_PARAM);
        assert_eq!(new(CEngineParams { struct_size: 8, ..params }, &mut engine), SDA_ERR_VERSION);
        assert_eq!(new(CEngineParams { judge_n_ctx: 1, ..params }, &mut engine), SDA_ERR_PARAM);
        assert_eq!(new(CEngineParams { max_instructions: 9, ..params }, &mut engine), SDA_ERR_PARAM);
        assert_eq!(new(CEngineParams { reserved: 1, ..params }, &mut engine), SDA_ERR_PARAM);
        assert_eq!(sda_engine_new(null(), &params, null_mut(), 0, &mut engine), SDA_ERR_NULL);
        assert_eq!(new(params, null_mut()), SDA_ERR_NULL);
        assert!(engine.is_null());
        assert_eq!(sda_engine_generate(null_mut(), null(), null_mut()), SDA_ERR_NULL);
        assert_eq!(sda_engine_cancel(null_mut()), SDA_ERR_NULL);
        assert!(sda_engine_error(null()).is_null());
        for size in [0, 8] {
            assert_eq!(sda_model_params_init(null_mut(), size), SDA_ERR_NULL);
            assert_eq!(sda_engine_params_init(null_mut(), size), SDA_ERR_NULL);
            assert_eq!(sda_generate_params_init(null_mut(), size), SDA_ERR_NULL);
            assert_eq!(sda_answer_init(null_mut(), size), SDA_ERR_NULL);
        }
        sda_engine_free(null_mut());
        sda_model_free(null_mut());
        sda_model_free(model);
    }
}

unsafe extern "C" fn stop_at_half(share: f32, data: *mut c_void) -> i32 {
    // SAFETY: the test passed a counter.
    unsafe { *data.cast::<u32>() += 1 };
    (share >= 0.5).into()
}

#[test]
fn loading_a_model_can_be_stopped() {
    let (mut model, mut calls, path) = (null_mut(), 0u32, CString::new(model_path()).unwrap());
    let params = CModelParams {
        progress: Some(stop_at_half),
        progress_data: (&raw mut calls).cast(),
        ..made(sda_model_params_init)
    };
    // SAFETY: all pointers are live.
    unsafe {
        assert_eq!(sda_model_new(path.as_ptr(), &params, null_mut(), 0, &mut model), SDA_ERR_MODEL);
    }
    assert!(model.is_null() && calls > 0);
}

#[test]
fn an_answer_keeps_to_a_grammar_or_a_schema_and_a_bias_bans_tokens() {
    let engine = Engine::new(256);
    let held = |change: fn(&mut CGenerateParams)| {
        engine.text(|p| {
            (p.n_predict, p.instruction) = (12, PIRATE.as_ptr());
            change(p);
        })
    };
    assert_eq!(held(|p| p.grammar = c"root ::= \"Ahoy\" [!?]".as_ptr()).trim_end_matches(['!', '?']), "Ahoy");
    assert_eq!(held(|p| p.json_schema = c"{\"const\": [1, null]}".as_ptr()), "[1,null]");
    let refused = |change: fn(&mut CGenerateParams)| {
        assert_eq!(engine.generate(change).err(), Some(SDA_ERR_PARAM));
        engine.error()
    };
    assert_eq!(
        refused(|p| p.grammar = c"root ::= \"a".as_ptr()),
        "grammar is one that cannot be used (line 1, column 12: it ends in the middle of a literal or a set), must be \
         GBNF as llama.cpp reads it"
    );
    assert!(refused(|p| p.json_schema = c"{".as_ptr()).starts_with("json_schema is not JSON"));
    let both = refused(|p| (p.grammar, p.json_schema) = (c"root ::= \"a\"".as_ptr(), c"{}".as_ptr()));
    assert_eq!(both, "json_schema is {}, must be NULL where grammar is not");

    let (free, _) = engine.generate(|p| p.n_predict = 1).unwrap();
    let first = free.tokens[0].token;
    let bias = |token, bias| {
        let one = [CLogitBias { token, bias }];
        engine.generate(|p| (p.n_predict, p.logit_bias, p.n_logit_bias) = (1, one.as_ptr(), 1))
    };
    assert_ne!(bias(first, f32::NEG_INFINITY).unwrap().0.tokens[0].token, first);
    assert_eq!(bias(77, 1000.0).unwrap().0.tokens[0].token, 77);
    assert_eq!(bias(-1, 1.0).err(), Some(SDA_ERR_PARAM));
    assert!(engine.error().starts_with("logit_bias is 1 for token -1, must be of a token id from 0 to"));
}
