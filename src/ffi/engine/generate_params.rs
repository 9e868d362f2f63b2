//! What an answer is made with, as C has it.

use std::ffi::{c_char, c_void};

use super::super::arm::SDA_ARM_STEERED;
use super::super::judge::{SDA_DIMENSION_NONE, SDA_ON_FAILURE_ERROR};
use super::super::params::CParams;
use super::super::sized::{SizedStruct, init_sized};
use super::answer::CToken;
use crate::amplify::Amplify;
use crate::guard::guard;
use crate::llama::Sampling;

/// SDA_PLACEMENT_AFTER, or SDA_PLACEMENT_BEFORE for a model without a chat template.
pub const SDA_PLACEMENT_AUTO: i32 = 0;
/// The instruction follows the query, in the user's turn.
pub const SDA_PLACEMENT_AFTER: i32 = 1;
/// The instruction precedes the query, in the user's turn.
pub const SDA_PLACEMENT_BEFORE: i32 = 2;
/// The instruction stands in the system message.
pub const SDA_PLACEMENT_SYSTEM: i32 = 3;

/// An earlier turn of a conversation; both are texts in UTF-8.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct CTurn {
    /// What the user asked, without the instruction.
    pub query: *const c_char,
    /// What the model answered.
    pub answer: *const c_char,
}

/// A token whose log-probability is changed, between the steering and the temperature.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct CLogitBias {
    /// Token id.
    pub token: i32,
    /// What is added, in nats: finite, or -INFINITY, which bans the token.
    pub bias: f32,
}

/// How to generate an answer. Set it up with sda_generate_params_init(), then change single fields. Texts
/// are in UTF-8 and are needed during the call only.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct CGenerateParams {
    /// Size of this struct as the caller knows it; sda_generate_params_init() sets it.
    pub struct_size: usize,
    /// What the user asks. Required.
    pub prompt: *const c_char,
    /// Receives the answer piece by piece: `text` holds `size` bytes of whole characters and a final NUL,
    /// and is empty while a character or a stop text is not complete. `token` is NULL for a last piece
    /// that was held back until the end. Anything but 0 stops. It may call sda_engine_cancel(), no other
    /// function on the same engine, and must not throw. Required.
    pub on_text: Option<
        unsafe extern "C" fn(
            text: *const c_char,
            size: usize,
            token: *const CToken,
            user_data: *mut c_void,
        ) -> i32,
    >,
    /// Passed to `on_text` as it is.
    pub user_data: *mut c_void,
    /// What the answer should be like. NULL (the default) or empty: nothing is steered.
    pub instruction: *const c_char,
    /// A ready instruction in its place: "empathy", "harmlessness", "helpfulness", "reasoning" or
    /// "truthfulness". Default NULL.
    pub preset: *const c_char,
    /// What the answer should not be like: stands in the plain branch where the instruction stands in the
    /// other. Default NULL.
    pub negative: *const c_char,
    /// System message, the same in both branches. Default NULL.
    pub system: *const c_char,
    /// Chat template: Jinja, or the name of one of llama.cpp's, such as "chatml". NULL (the default) is the
    /// model's own, or none if it has none; empty is none, and the model gets the texts as they are.
    pub chat_template: *const c_char,
    /// Earlier turns of the conversation, `n_history` of them. What the KV cache holds of them is not read
    /// again. Default NULL.
    pub history: *const CTurn,
    /// Number of earlier turns.
    pub n_history: usize,
    /// Texts that end the answer and are no part of it, `n_stop` of them; texts of control tokens count. Default NULL.
    pub stop: *const *const c_char,
    /// Number of stop texts.
    pub n_stop: usize,
    /// Settings of the steering. NULL (the default) is what sda_params_init() gives, but with an
    /// amplification of 0.25, which is a guidance scale of 1.5. Its `top_p` is ignored for the one below.
    pub steering: *const CParams,
    /// Score of the plain answer, at most 100: the amplification is then sda_amplify() of it. 0 (the
    /// default) leaves the amplification as `steering` has it.
    pub score: f32,
    /// SDA_AMPLIFY_*, for `score`. Default SDA_AMPLIFY_SIGMOID.
    pub amplify: i32,
    /// Where the instruction stands, SDA_PLACEMENT_*. Default SDA_PLACEMENT_AUTO.
    pub placement: i32,
    /// Which distribution the answer is drawn from, SDA_ARM_*. Default SDA_ARM_STEERED.
    pub arm: i32,
    /// The most tokens; -1 (the default) continues until the model or the context ends.
    pub n_predict: i32,
    /// Seed of the draw. Default 0.
    pub seed: u32,
    /// Keep the most likely tokens only, this many; 0 (the default) keeps all.
    pub top_k: i32,
    /// Keep the fewest tokens that hold this much of the probability, 0 to 1. Default 0.95.
    pub top_p: f32,
    /// Drop tokens less likely than this share of the most likely one, 0 to 1. Default 0.
    pub min_p: f32,
    /// Tokens that the penalties look back on; 0 turns them off, -1 is the whole context. Default 64.
    pub repeat_last_n: i32,
    /// Penalty on repeated tokens, greater than 0; 1 (the default) is none.
    pub repeat_penalty: f32,
    /// Penalty for each earlier use of a token. Default 0.
    pub frequency_penalty: f32,
    /// Penalty for any earlier use of a token. Default 0.
    pub presence_penalty: f32,
    /// Steer only after the model has ended its thinking with `</think>`, if not 0: the block that the chat template
    /// has opened, or that the answer begins with. Default 0.
    pub steer_after_think: i32,
    /// Compute the log-probabilities of sda_token, if not 0. Default 0.
    pub trace: i32,
    /// First have a plain draft written and scored by the engine's judge, if not 0. Its score takes the place of
    /// `score`, which must be 0, and `arm` must be SDA_ARM_STEERED. The draft does not go to `on_text`. Default 0.
    pub judge: i32,
    /// What the judge scores by, SDA_DIMENSION_*. Default SDA_DIMENSION_NONE, the instruction.
    pub judge_dimension: i32,
    /// What the answer is when the judge gives no score, SDA_ON_FAILURE_*. Default SDA_ON_FAILURE_ERROR.
    pub on_judge_failure: i32,
    /// Several instructions in place of `instruction` and `preset`, `n_instructions` of them, at most
    /// `max_instructions` of the engine. Those with a weight of 0 or more are asked for; by each the answer is steered
    /// in proportion to its weight, and away from it if that is negative. Default NULL.
    pub instructions: *const *const c_char,
    /// A finite weight for each of `instructions`; NULL (the default) is 1 each.
    pub weights: *const f32,
    /// Number of instructions.
    pub n_instructions: usize,
    /// Variables of the chat template as a JSON object, such as {"enable_thinking": false}; `messages` and
    /// `add_generation_prompt` are not among them. NULL (the default) or an empty object: none. Otherwise the
    /// template must be Jinja.
    pub chat_template_kwargs: *const c_char,
    /// What the answer keeps to: a grammar in GBNF, llama.cpp's notation, that begins with its rule `root`. It applies
    /// from behind a `<think>` block that the chat template has opened. NULL (the default): none.
    pub grammar: *const c_char,
    /// In its place a JSON schema, of which llama.cpp's converter makes a grammar. Default NULL.
    pub json_schema: *const c_char,
    /// Tokens that are made likelier or less likely, `n_logit_bias` of them. Default NULL.
    pub logit_bias: *const CLogitBias,
    /// Number of these tokens.
    pub n_logit_bias: usize,
    /// Locally typical sampling: keep the tokens whose information is nearest to the entropy, which hold this much of the
    /// probability, 0 to 1. Default 1, all.
    pub typical_p: f32,
    /// Drop tokens whose logits are more than this many standard deviations below the highest; 0 or less (the default is
    /// -1) keeps all.
    pub top_n_sigma: f32,
    /// XTC: how often the most likely tokens are dropped, 0 to 1. Default 0.
    pub xtc_probability: f32,
    /// XTC drops all tokens of at least this probability but the least likely of them, 0 to 1; above 0.5 it is off. Default
    /// 0.1.
    pub xtc_threshold: f32,
    /// DRY: what a token loses that would continue a repetition, at least 0: this much times `dry_base` to the power of
    /// the repetition's length over `dry_allowed_length`. Default 0.
    pub dry_multiplier: f32,
    /// DRY's base, at least 1. Default 1.75.
    pub dry_base: f32,
    /// DRY: repetitions shorter than this cost nothing, at least 0. Default 2.
    pub dry_allowed_length: i32,
    /// DRY: tokens that are searched for repetitions; 0 turns it off, -1 is the whole context. Default 64.
    pub dry_penalty_last_n: i32,
    /// DRY: no repetition goes beyond one of these texts, `n_dry_sequence_breakers` of them, each of 1 to 40 bytes. NULL
    /// (the default) is a line's end, a colon, a quotation mark and an asterisk.
    pub dry_sequence_breakers: *const *const c_char,
    /// Number of these texts; 0 where the pointer is not NULL is none.
    pub n_dry_sequence_breakers: usize,
    /// The temperature goes from this much below the step's to this much above it, by the entropy of the candidates, at
    /// least 0. Default 0, off.
    pub dynatemp_range: f32,
    /// How the entropy, as a share of the largest possible, becomes a place in that range: to this power, at least 0.
    /// Default 1.
    pub dynatemp_exponent: f32,
    /// Mirostat 1 or 2 in place of all other samplers but the temperature; beside penalties, DRY, XTC, top-n-sigma and
    /// dynamic temperature it is refused. Default 0, off.
    pub mirostat: i32,
    /// The surprise in bits that mirostat aims at, at least 0. Default 5.
    pub mirostat_tau: f32,
    /// How fast mirostat adapts, at least 0. Default 0.1.
    pub mirostat_eta: f32,
    /// Ban the tokens that end an answer, if not 0. Not with a grammar. Default 0.
    pub ignore_eos: i32,
    /// Where the context is full, let go of the older half of the answer so far and continue, if not 0. The prompts and
    /// the newer half are read again. With `n_predict` -1 such an answer may never end. Default 0.
    pub context_shift: i32,
    /// Must be 0.
    pub reserved: i32,
    /// Which samplers, in which order: llama.cpp's names with semicolons between them. Those that are left out are not
    /// applied, the temperature neither. NULL (the default) is
    /// "temperature;penalties;dry;top_n_sigma;top_k;typ_p;top_p;min_p;xtc".
    pub samplers: *const c_char,
}

// SAFETY: C's layout, numbers, and pointers that may be NULL; the size comes first.
unsafe impl SizedStruct for CGenerateParams {
    const NAME: &'static str = "sda_generate_params";
    const SMALLEST: usize = std::mem::offset_of!(CGenerateParams, instruction);

    fn defaults() -> CGenerateParams {
        let sampling = Sampling::default();
        CGenerateParams {
            struct_size: size_of::<CGenerateParams>(),
            prompt: std::ptr::null(),
            on_text: None,
            user_data: std::ptr::null_mut(),
            instruction: std::ptr::null(),
            preset: std::ptr::null(),
            negative: std::ptr::null(),
            system: std::ptr::null(),
            chat_template: std::ptr::null(),
            history: std::ptr::null(),
            n_history: 0,
            stop: std::ptr::null(),
            n_stop: 0,
            steering: std::ptr::null(),
            score: 0.0,
            amplify: Amplify::default() as i32,
            placement: SDA_PLACEMENT_AUTO,
            arm: SDA_ARM_STEERED,
            n_predict: -1,
            seed: sampling.seed,
            top_k: sampling.top_k,
            top_p: sampling.top_p,
            min_p: sampling.min_p,
            repeat_last_n: sampling.repeat_last_n,
            repeat_penalty: sampling.repeat_penalty,
            frequency_penalty: sampling.frequency_penalty,
            presence_penalty: sampling.presence_penalty,
            steer_after_think: 0,
            trace: 0,
            judge: 0,
            judge_dimension: SDA_DIMENSION_NONE,
            on_judge_failure: SDA_ON_FAILURE_ERROR,
            instructions: std::ptr::null(),
            weights: std::ptr::null(),
            n_instructions: 0,
            chat_template_kwargs: std::ptr::null(),
            grammar: std::ptr::null(),
            json_schema: std::ptr::null(),
            logit_bias: std::ptr::null(),
            n_logit_bias: 0,
            typical_p: sampling.typical_p,
            top_n_sigma: sampling.top_n_sigma,
            xtc_probability: sampling.xtc_probability,
            xtc_threshold: sampling.xtc_threshold,
            dry_multiplier: sampling.dry_multiplier,
            dry_base: sampling.dry_base,
            dry_allowed_length: sampling.dry_allowed_length,
            dry_penalty_last_n: sampling.dry_penalty_last_n,
            dry_sequence_breakers: std::ptr::null(),
            n_dry_sequence_breakers: 0,
            dynatemp_range: sampling.dynatemp_range,
            dynatemp_exponent: sampling.dynatemp_exponent,
            mirostat: sampling.mirostat,
            mirostat_tau: sampling.mirostat_tau,
            mirostat_eta: sampling.mirostat_eta,
            ignore_eos: 0,
            context_shift: 0,
            reserved: 0,
            samplers: std::ptr::null(),
        }
    }
}

/// Fills a struct with the defaults; `size` is sizeof *params. Errors as sda_params_init().
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sda_generate_params_init(params: *mut CGenerateParams, size: usize) -> i32 {
    // SAFETY: the caller says that there are `size` bytes at `params`.
    guard(|| unsafe { init_sized(params, size) })
}
