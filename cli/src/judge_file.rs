//! A judge that is a model of its own, in a GGUF file, beside the one that answers.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use sda::engine::JudgeModel;
use sda::judge::{Judge, JudgeRequest, Verdict};
use sda::llama::Model;

use crate::args::LoadArgs;
use crate::args::judge::JudgeArgs;
use crate::failure::{Failure, Outcome};
use crate::load;
use crate::session::Session;
use crate::ui::console::{note, stderr_is_terminal};

/// The file, and once it is needed its model.
pub struct FileJudge {
    /// The option that names it.
    option: &'static str,
    path: PathBuf,
    load: LoadArgs,
    n_ctx: Option<u32>,
    loaded: OnceLock<Mutex<JudgeModel>>,
}

impl FileJudge {
    /// Refuses a file that is missing or no model, before anything is loaded. The model gets the threads and the
    /// other settings of `load`; `option` names the file on the command line.
    pub fn new(option: &'static str, path: &Path, args: &JudgeArgs, load: &LoadArgs) -> Outcome<FileJudge> {
        Model::check_file(path).map_err(|error| {
            let allowed = "must be local, a URL that begins with http:// or https://, or a GGUF file";
            Failure::Failed(format!("{option} is {}, {allowed}: {error}", path.display()))
        })?;
        Ok(FileJudge {
            option,
            path: path.to_owned(),
            load: load.clone(),
            n_ctx: args.judge_ctx_size,
            loaded: OnceLock::new(),
        })
    }

    /// What records call it.
    pub fn name(&self) -> String {
        self.path.file_name().unwrap_or(self.path.as_os_str()).to_string_lossy().into_owned()
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn load_args(&self) -> &LoadArgs {
        &self.load
    }

    /// Loads the model, unless it is one of those `loaded`, and makes its context, for drafts of a model whose
    /// branches hold `branch` tokens. Says what it costs in memory. Leaves Ctrl-C ending the program at once.
    pub fn load(&self, session: &Session, loaded: &[&Model], branch: usize) -> Outcome {
        if self.loaded.get().is_some() {
            return Ok(());
        }
        let named = |failure| match failure {
            Failure::Failed(text) => Failure::Failed(format!("{}: {text}", self.option)),
            other => other,
        };
        // One with adapters is another model.
        let is_same =
            |model: &&&Model| !model.is_changed() && load::is_same_file(Path::new(model.path()), &self.path);
        let same = loaded.iter().find(is_same);
        let model = match same {
            Some(model) => (*model).clone(),
            None => load::model(&self.path, &self.load, &session.log, &session.interrupt).map_err(named)?,
        };
        let n_ctx = match self.n_ctx {
            Some(n) => n as usize,
            None => JudgeModel::default_n_ctx(&model, branch),
        };
        let before = session.log.kv_mib();
        let judge = JudgeModel::new(&model, n_ctx, &self.load.context_options())
            .map_err(|error| named(session.log.explain(error)))?;
        if stderr_is_terminal() {
            let weights = if same.is_some() { None } else { Some(model.bytes()) };
            note(&costs(&judge.name(), judge.n_ctx(), weights, session.log.kv_mib() - before));
        }
        let _ = self.loaded.set(Mutex::new(judge));
        Ok(())
    }

    /// The loaded model, for others that use the same file.
    pub fn model(&self) -> Option<Model> {
        self.loaded.get().map(|judge| lock(judge).model().clone())
    }

    /// The judge, which has to be loaded. `progress` is told the tokens of its prompt that were read, and all of
    /// them.
    pub fn judge<'a>(&'a self, progress: impl FnMut(usize, usize) + 'a) -> impl Judge + 'a {
        let judge = self.loaded.get().expect("a judge in a file is loaded before drafts are written");
        Asked { judge: lock(judge), progress }
    }
}

fn lock(judge: &Mutex<JudgeModel>) -> MutexGuard<'_, JudgeModel> {
    judge.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What the judge takes of the memory; `weights` in bytes, None if they are those of another model.
fn costs(name: &str, n_ctx: usize, weights: Option<u64>, kv_mib: f64) -> String {
    let weights = match weights {
        Some(bytes) => format!("weights {:.0} MiB", bytes as f64 / f64::from(1 << 20)),
        None => "weights shared".to_owned(),
    };
    format!("judge {name}: {weights}, {n_ctx} tokens, KV cache {kv_mib:.0} MiB")
}

/// The judge while it is asked.
struct Asked<'a, P> {
    judge: MutexGuard<'a, JudgeModel>,
    progress: P,
}

impl<P: FnMut(usize, usize)> Judge for Asked<'_, P> {
    fn score(&mut self, request: &JudgeRequest<'_>, cancel: &dyn Fn() -> bool) -> sda::Result<Verdict> {
        let judge = self.judge.judge().with_n_ctx_name("--judge-ctx-size");
        judge.with_progress(&mut self.progress).score(request, cancel)
    }

    fn describe(&self) -> String {
        self.judge.name()
    }
}

#[cfg(test)]
mod tests {
    use super::costs;

    #[test]
    fn the_cost_of_a_judge_is_its_weights_unless_they_are_shared_and_its_cache() {
        let text = costs("j.gguf", 768, Some(3 << 20), 16.9);
        assert_eq!(text, "judge j.gguf: weights 3 MiB, 768 tokens, KV cache 17 MiB");
        let text = costs("j.gguf", 768, None, 16.9);
        assert_eq!(text, "judge j.gguf: weights shared, 768 tokens, KV cache 17 MiB");
    }
}
