//! A GGUF model: weights, vocabulary, metadata.

use std::path::Path;
use std::ptr::NonNull;
use std::sync::{Arc, OnceLock};

use llama_cpp_2::llama_backend::LlamaBackend;
use llama_cpp_2::model::LlamaModel;
use llama_cpp_2::token::LlamaToken;
use llama_cpp_2::token_type::LlamaTokenAttr;
use llama_cpp_sys_2 as sys;
use once_cell::sync::OnceCell;

use super::adapter::Adapters;
use super::dry::LastDry;
use super::load::{Loaded, ModelOptions, load};
use super::path::TextPath;
use super::{architecture, parts};
use crate::error::{Error, Result};
use crate::host::Token;

static BACKEND: OnceCell<LlamaBackend> = OnceCell::new();

/// llama.cpp's global state, made at the first call. Fails if other code of this process made one.
pub fn backend() -> Result<&'static LlamaBackend> {
    BACKEND.get_or_try_init(|| {
        #[cfg(feature = "dynamic-backends")]
        super::modules::load();
        LlamaBackend::init().map_err(|e| Error::Model { reason: e.to_string() })
    })
}

/// A loaded model: a handle, cheap to clone. The weights are there until the last handle and the last context
/// made from it are gone. May be shared by threads and by several contexts.
#[derive(Clone)]
pub struct Model {
    loaded: Arc<Loaded>,
    path: Arc<str>,
    control_texts: Arc<OnceLock<Vec<String>>>,
    dry: LastDry,
}

impl Model {
    /// Loads a GGUF file, or the first part of a model in several. `progress` gets the share that is done, 0 to 1; false
    /// stops the load.
    ///
    /// # Errors
    /// Those of [`ModelOptions::validate`]; [`Error::Io`]; [`Error::Model`] if llama.cpp cannot load it, or if it cannot continue a text: encoders, also
    /// those with a decoder, and diffusion models.
    pub fn load(
        path: &Path,
        options: &ModelOptions,
        progress: impl FnMut(f32) -> bool + 'static,
    ) -> Result<Model> {
        let shown = path.display().to_string();
        check_gguf(path, &shown)?;
        let io = |e: std::io::Error| Error::Io { path: shown.clone(), reason: e.to_string() };
        let readable = TextPath::new(path).map_err(io)?;
        let name = readable.c_string().map_err(io)?;
        backend()?;
        let loaded = load(&name, options, progress)?.ok_or_else(|| {
            let unknown = || format!("llama.cpp could not load {shown}; its log says why");
            Error::Model { reason: parts::complaint(path).unwrap_or_else(unknown) }
        })?;
        architecture::check(&shown, |key| loaded.model.meta_val_str(key).ok())?;
        Ok(Model {
            loaded: Arc::new(loaded),
            path: shown.into(),
            control_texts: Arc::default(),
            dry: LastDry::default(),
        })
    }

    /// Refuses a file that is missing or not GGUF, without loading it.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Model`].
    pub fn check_file(path: &Path) -> Result<()> {
        check_gguf(path, &path.display().to_string())
    }

    /// The path it was loaded from.
    pub fn path(&self) -> &str {
        &self.path
    }

    pub(super) fn inner(&self) -> &LlamaModel {
        &self.loaded.model
    }

    pub(super) fn as_ptr(&self) -> NonNull<sys::llama_model> {
        self.loaded.pointer
    }

    pub(super) fn adapters(&self) -> &Adapters {
        &self.loaded.adapters
    }

    /// True if it was loaded with options that make it say something else than its file alone would, such as adapters.
    pub fn is_changed(&self) -> bool {
        self.loaded.options.changes_model()
    }

    pub(super) fn last_dry(&self) -> &LastDry {
        &self.dry
    }

    /// Tokens in the vocabulary.
    pub fn n_vocab(&self) -> usize {
        self.inner().n_vocab().max(0) as usize
    }

    /// Size of the weights in bytes.
    pub fn bytes(&self) -> u64 {
        self.inner().size()
    }

    /// Context length the model was trained for, in tokens.
    pub fn n_ctx_train(&self) -> usize {
        self.inner().n_ctx_train() as usize
    }

    /// True for models whose memory cannot forget its last tokens (Mamba, RWKV and their hybrids).
    pub fn is_recurrent(&self) -> bool {
        self.inner().is_recurrent() || self.inner().is_hybrid()
    }

    /// A metadata value of the GGUF file, or that which takes its place, as text.
    pub fn metadata(&self, key: &str) -> Option<String> {
        self.loaded.options.overridden(key).or_else(|| self.inner().meta_val_str(key).ok())
    }

    /// Source of the model's chat template, if it has one.
    pub fn chat_template(&self) -> Option<String> {
        let given = self.loaded.options.overridden("tokenizer.chat_template");
        given.or_else(|| self.inner().chat_template(None).ok()?.to_string().ok())
    }

    /// Text of the begin-of-sequence token, empty if there is none.
    pub fn bos_text(&self) -> String {
        self.bos().map_or_else(String::new, |token| self.special_text(token))
    }

    /// Text of the end-of-sequence token, empty if there is none.
    pub fn eos_text(&self) -> String {
        self.eos().map_or_else(String::new, |token| self.special_text(token))
    }

    fn bos(&self) -> Option<LlamaToken> {
        self.is_given("tokenizer.ggml.bos_token_id", self.inner().vocab().bos())
    }

    fn eos(&self) -> Option<LlamaToken> {
        self.is_given("tokenizer.ggml.eos_token_id", self.inner().vocab().eos())
    }

    /// Where a file does not name a special token, llama.cpp takes one by its number: token 11 of a byte-level BPE, a
    /// comma. It is none unless it is a control token.
    fn is_given(&self, key: &str, token: LlamaToken) -> Option<LlamaToken> {
        let is_one = |token: LlamaToken| self.is_control(token.0) || self.metadata(key).is_some();
        Some(token).filter(|&token| token.0 >= 0 && is_one(token))
    }

    fn special_text(&self, token: LlamaToken) -> String {
        String::from_utf8_lossy(&self.inner().vocab().token_to_piece(token, true, None)).into_owned()
    }

    /// True if the token ends the answer.
    pub fn is_eog(&self, token: Token) -> bool {
        let vocab = self.inner().vocab();
        vocab.is_eog(LlamaToken(token)) && (vocab.eos().0 != token || self.eos().is_some())
    }

    /// True for a token that gives a prompt its structure, such as `<|im_end|>`, and stands for no text.
    pub fn is_control(&self, token: Token) -> bool {
        let attributes = self.inner().vocab().attr(LlamaToken(token));
        attributes.intersects(LlamaTokenAttr::Control | LlamaTokenAttr::Unknown)
    }

    /// Texts that [`Model::tokenize_prompt`] reads as control tokens, looked up at the first call.
    pub fn control_texts(&self) -> &[String] {
        self.control_texts.get_or_init(|| {
            let control = (0..self.n_vocab() as Token).filter(|&token| self.is_control(token));
            control.map(|token| self.special_text(LlamaToken(token))).collect()
        })
    }

    /// Tokens of a whole prompt that is to be continued: with the begin-of-sequence token where the model wants one
    /// and the text does not bring it, and with special tokens recognised in the text. It ends as the text does: what
    /// the model's file may want at the end of a text (`tokenizer.ggml.add_eos_token`) would end the answer before it
    /// begins.
    pub fn tokenize_prompt(&self, text: &str) -> Result<Vec<Token>> {
        let bos_text = self.bos_text();
        let has_bos = !bos_text.is_empty() && text.starts_with(&bos_text);
        let tokens = self.tokenize(text, true)?;
        let added = self.bos().filter(|_| self.inner().vocab().should_add_bos() && !has_bos);
        Ok(added.map(|bos| bos.0).into_iter().chain(tokens).collect())
    }

    /// Tokens of a text and of nothing else; with `parse_special`, special tokens are recognised in it.
    pub fn tokenize(&self, text: &str, parse_special: bool) -> Result<Vec<Token>> {
        if i32::try_from(text.len()).is_err() {
            return Err(Error::Prompt {
                reason: format!("it is {} bytes long, must be at most {}", text.len(), i32::MAX),
            });
        }
        // llama-cpp-2's `vocab_type` panics for RWKV's tokenizer, and others that are new to it.
        if matches!(self.metadata("tokenizer.ggml.model").as_deref(), Some("none" | "no_vocab")) {
            return Err(Error::Model { reason: format!("{} has no tokenizer", self.path) });
        }
        let tokens = self.inner().vocab().tokenize(text.as_bytes(), false, parse_special);
        Ok(tokens.into_iter().map(|token| token.0).collect())
    }

    /// The text of a whole prompt, special tokens included.
    pub fn text(&self, tokens: &[Token]) -> String {
        let pieces =
            tokens.iter().map(|&token| self.inner().vocab().token_to_piece(LlamaToken(token), true, None));
        String::from_utf8_lossy(&pieces.collect::<Vec<_>>().concat()).into_owned()
    }

    /// The text of a control token, which is no part of an answer's text; None for others.
    pub fn control_text(&self, token: Token) -> Option<String> {
        self.is_control(token).then(|| self.special_text(LlamaToken(token)))
    }

    /// Bytes of a token, which may be a part of a character; nothing for special tokens.
    pub fn piece(&self, token: Token) -> Vec<u8> {
        self.inner().vocab().token_to_piece(LlamaToken(token), false, None)
    }
}

/// llama.cpp reports a wrong file only in its log; these two cases are common enough to be named.
fn check_gguf(path: &Path, shown: &str) -> Result<()> {
    use std::io::Read;
    let io = |e: std::io::Error| Error::Io { path: shown.to_owned(), reason: e.to_string() };
    let mut magic = [0; 4];
    let n = std::fs::File::open(path).map_err(io)?.read(&mut magic).map_err(io)?;
    if n < 4 || &magic != b"GGUF" {
        return Err(Error::Model { reason: format!("{shown} is not a GGUF file") });
    }
    Ok(())
}
