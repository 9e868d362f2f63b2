//! Options of a judge, for every command that asks one.

use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::Args;
use clap::builder::{OsStringValueParser, TypedValueParser};
use clap_lex::OsStrExt;
use sda::Quality;
use sda::judge::{ApiKey, Cache, Client, ResponseFormat, Settings, Template, default_cache_dir};

use crate::failure::{Failure, Outcome};
use crate::ui::console::note;

/// Name of the loaded model as a judge, on the command line and in records.
pub const LOCAL: &str = "local";

/// The variable that holds the key when none is named.
const KEY_VARIABLE: &str = "SDA_JUDGE_KEY";

#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Judge")]
pub struct JudgeArgs {
    /// Name of the judge's model, as its server knows it.
    #[arg(long, value_name = "NAME")]
    pub judge_model: Option<String>,
    /// What to score by, instead of the instruction: a dimension, or "instruction". [default: the
    /// preset's dimension]
    #[arg(long, value_name = "NAME")]
    pub judge_dimension: Option<Criterion>,
    /// Environment variable that holds the API key. [default: SDA_JUDGE_KEY, if it is set]
    #[arg(long, value_name = "NAME", conflicts_with = "judge_key_file")]
    pub judge_key_env: Option<String>,
    /// File that holds the API key.
    #[arg(long, value_name = "FILE")]
    pub judge_key_file: Option<PathBuf>,
    /// Seconds that one request may take in all. [default: 120]
    #[arg(long, value_name = "S")]
    pub judge_timeout: Option<Seconds>,
    /// Seconds that connecting may take. [default: 10]
    #[arg(long, value_name = "S")]
    pub judge_connect_timeout: Option<Seconds>,
    /// How often a request that failed for a passing reason is sent again. [default: 4]
    #[arg(long, value_name = "N")]
    pub judge_retries: Option<u32>,
    /// Proxy, instead of the environment's.
    #[arg(long, value_name = "URL")]
    pub judge_proxy: Option<String>,
    /// PEM file of the authorities to trust, instead of the public ones.
    #[arg(long, value_name = "FILE")]
    pub judge_ca: Option<PathBuf>,
    /// Sampling temperature of the judge; "none" sends none. [default: 0]
    #[arg(long, value_name = "T|none")]
    pub judge_temperature: Option<OrNone<f32>>,
    /// Seed of the judge's first sample, further ones count up; "none" sends none. [default: 1]
    #[arg(long, value_name = "N|none")]
    pub judge_seed: Option<OrNone<u32>>,
    /// The longest reply in tokens; "none" sends no limit. [default: 1024]
    #[arg(long, value_name = "N|none")]
    pub judge_max_tokens: Option<OrNone<u32>>,
    /// How the judge is held to the form of its reply: auto, json_schema, json_object or text.
    /// [default: auto]
    #[arg(long, value_name = "FORMAT")]
    pub judge_format: Option<ResponseFormat>,
    /// How many scores are asked for and averaged. [default: 1]
    #[arg(long, value_name = "N")]
    pub judge_n: Option<u32>,
    /// Template of the judge's prompt, or of one dimension's; may be given several times. [also -jp]
    #[arg(long, value_name = "[DIMENSION=]FILE", value_parser = OsStringValueParser::new().map(PromptFile::new))]
    pub judge_prompt: Vec<PromptFile>,
    /// Tokens that the prompt of a judge in a file can have, with query and draft. [default: as many as a branch
    /// holds and 512, at most the judge's training length]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1 << 30))]
    pub judge_ctx_size: Option<u32>,
    /// Ask again for what has been judged before.
    #[arg(long, conflicts_with = "judge_cache_dir")]
    pub no_judge_cache: bool,
    /// Where scores are kept. [default: sda/judge in the user's cache folder]
    #[arg(long, value_name = "DIR")]
    pub judge_cache_dir: Option<PathBuf>,
}

/// Where a judge is: the loaded model, a server, or a model file. The URL is not checked yet, since clap would show
/// all of a wrong one, and with it the secrets that it may hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JudgeAt {
    Local,
    Url(String),
    File(PathBuf),
}

impl fmt::Display for JudgeAt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            JudgeAt::Local => f.write_str(LOCAL),
            JudgeAt::Url(url) => f.write_str(url),
            JudgeAt::File(path) => path.display().fmt(f),
        }
    }
}

/// Parses a judge, for clap: the name of a file may be any bytes.
pub fn judge_at() -> impl TypedValueParser<Value = JudgeAt> {
    OsStringValueParser::new().map(JudgeAt::new)
}

impl JudgeAt {
    fn new(text: OsString) -> JudgeAt {
        match text.to_str() {
            Some(LOCAL) => JudgeAt::Local,
            Some(url) if url.contains("://") => JudgeAt::Url(url.to_owned()),
            _ => JudgeAt::File(text.into()),
        }
    }
}

/// What a judge scores by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Criterion {
    Instruction,
    Dimension(Quality),
}

impl FromStr for Criterion {
    type Err = String;

    fn from_str(text: &str) -> Result<Criterion, String> {
        match text {
            "instruction" => Ok(Criterion::Instruction),
            _ => match Quality::named("dimension", text) {
                Ok(quality) => Ok(Criterion::Dimension(quality)),
                Err(error) => Err(format!("{error}, or instruction")),
            },
        }
    }
}

/// A number, or that none is to be sent.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct OrNone<T>(Option<T>);

impl<T: FromStr<Err: fmt::Display>> FromStr for OrNone<T> {
    type Err = String;

    fn from_str(text: &str) -> Result<OrNone<T>, String> {
        match text {
            "none" => Ok(OrNone(None)),
            _ => text
                .parse()
                .map(|n| OrNone(Some(n)))
                .map_err(|e: T::Err| format!("{e}, must be a number or none")),
        }
    }
}

/// A length of time in seconds.
#[derive(Clone, Copy, Debug)]
pub struct Seconds(Duration);

impl FromStr for Seconds {
    type Err = String;

    fn from_str(text: &str) -> Result<Seconds, String> {
        let seconds: f64 = text.parse().map_err(|e| format!("{e}, must be a number of seconds"))?;
        Duration::try_from_secs_f64(seconds)
            .map(Seconds)
            .map_err(|_| "must be a number of seconds".to_owned())
    }
}

/// A template's file, and the dimension that it is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PromptFile {
    dimension: Option<Quality>,
    path: PathBuf,
}

impl PromptFile {
    fn new(text: OsString) -> PromptFile {
        // A file's name may hold a = as well, so only a dimension's name is taken for one.
        let named = text.split_once("=").and_then(|(name, path)| Some((name.to_str()?.parse().ok()?, path)));
        match named {
            Some((dimension, path)) => PromptFile { dimension: Some(dimension), path: path.into() },
            None => PromptFile { dimension: None, path: text.into() },
        }
    }
}

impl JudgeArgs {
    /// What to score by when a record does not say.
    pub fn dimension(&self, preset: Option<Quality>) -> Option<Quality> {
        match self.judge_dimension {
            Some(Criterion::Dimension(dimension)) => Some(dimension),
            Some(Criterion::Instruction) => None,
            None => preset,
        }
    }

    /// A client for the judge at `url`. Reads the key and the files; the network is not touched.
    pub fn client(&self, url: &str) -> Outcome<Client> {
        let client = Client::new(self.settings(url)?)?.with_warnings(note);
        Ok(match self.cache() {
            Some(cache) => client.with_cache(cache),
            None => client,
        })
    }

    /// Settings of that client. Reads the key and the templates.
    pub fn settings(&self, url: &str) -> Outcome<Settings> {
        let mut settings = Settings::new(url, self.judge_model.as_deref().unwrap_or_default());
        settings.key = self.key()?;
        settings.proxy.clone_from(&self.judge_proxy);
        settings.ca_file.clone_from(&self.judge_ca);
        let take = |to: &mut Duration, from: Option<Seconds>| *to = from.map_or(*to, |Seconds(time)| time);
        take(&mut settings.timeout, self.judge_timeout);
        take(&mut settings.connect_timeout, self.judge_connect_timeout);
        settings.retry.max_retries = self.judge_retries.unwrap_or(settings.retry.max_retries);
        settings.temperature = self.judge_temperature.map_or(settings.temperature, |OrNone(t)| t);
        settings.seed = self.judge_seed.map_or(settings.seed, |OrNone(seed)| seed);
        settings.max_tokens = self.judge_max_tokens.map_or(settings.max_tokens, |OrNone(n)| n);
        settings.response_format = self.judge_format.unwrap_or_default();
        settings.samples = self.judge_n.unwrap_or(settings.samples);
        if settings.samples > 1 && settings.temperature == Some(0.0) {
            return Err(Failure::Usage(format!(
                "--judge-n is {}, must be 1 at --judge-temperature 0, where all samples are the same",
                settings.samples
            )));
        }
        for PromptFile { dimension, path } in &self.judge_prompt {
            let template = Template::load(path)?;
            match dimension {
                Some(dimension) => drop(settings.templates.insert(*dimension, template)),
                None => settings.template = template,
            }
        }
        Ok(settings)
    }

    fn key(&self) -> Outcome<Option<ApiKey>> {
        Ok(match (&self.judge_key_env, &self.judge_key_file) {
            (Some(name), _) => Some(ApiKey::from_env(name)?),
            (None, Some(path)) => Some(ApiKey::from_file(path)?),
            (None, None) if std::env::var_os(KEY_VARIABLE).is_some_and(|key| !key.is_empty()) => {
                Some(ApiKey::from_env(KEY_VARIABLE)?)
            }
            (None, None) => None,
        })
    }

    /// A server that was not told a model may hold another one tomorrow, which the cache could not tell.
    fn cache(&self) -> Option<Cache> {
        match &self.judge_cache_dir {
            _ if self.no_judge_cache => None,
            Some(dir) => Some(Cache::new(dir)),
            None if self.judge_model.is_none() => None,
            None => default_cache_dir().map(Cache::new),
        }
    }

    /// Refuses what a judge has no use for, rather than ignore it.
    pub fn check(&self, judge: &JudgeAt) -> Outcome {
        let (at, of_server) = match judge {
            JudgeAt::Local => ("local", self.of_server()),
            JudgeAt::File(_) => ("a file", self.of_server()),
            JudgeAt::Url(_) => ("a URL", None),
        };
        match (of_server, judge) {
            (Some(name), _) => Err(Failure::Usage(format!("{name} is for a judge at a URL, not for {at}"))),
            (None, JudgeAt::Local | JudgeAt::Url(_)) if self.judge_ctx_size.is_some() => {
                Err(Failure::Usage(format!("--judge-ctx-size is for a judge in a file, not for {at}")))
            }
            (None, _) => Ok(()),
        }
    }

    /// The first option given that only a judge at a URL can use.
    fn of_server(&self) -> Option<&'static str> {
        let given = [
            ("--judge-model", self.judge_model.is_some()),
            ("--judge-key-env", self.judge_key_env.is_some()),
            ("--judge-key-file", self.judge_key_file.is_some()),
            ("--judge-timeout", self.judge_timeout.is_some()),
            ("--judge-connect-timeout", self.judge_connect_timeout.is_some()),
            ("--judge-retries", self.judge_retries.is_some()),
            ("--judge-proxy", self.judge_proxy.is_some()),
            ("--judge-ca", self.judge_ca.is_some()),
            ("--judge-temperature", self.judge_temperature.is_some()),
            ("--judge-seed", self.judge_seed.is_some()),
            ("--judge-max-tokens", self.judge_max_tokens.is_some()),
            ("--judge-format", self.judge_format.is_some()),
            ("--judge-n", self.judge_n.is_some()),
            ("--judge-prompt", !self.judge_prompt.is_empty()),
            ("--judge-cache-dir", self.judge_cache_dir.is_some()),
        ];
        given.iter().find(|(_, given)| *given).map(|(name, _)| *name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prompt_file_is_for_a_dimension_only_when_it_names_one() {
        let parse = |text: &str| PromptFile::new(text.into());
        let file = |dimension, path: &str| PromptFile { dimension, path: path.into() };
        assert_eq!(parse("empathy=a=b.txt"), file(Some(Quality::Empathy), "a=b.txt"));
        assert_eq!(parse("a=b.txt"), file(None, "a=b.txt"));
        assert_eq!(parse("empathy"), file(None, "empathy"));
    }

    #[test]
    fn whatever_is_no_url_and_not_local_is_a_file() {
        let at = |text: &str| JudgeAt::new(text.into());
        assert_eq!(at("local"), JudgeAt::Local);
        for url in ["http://127.0.0.1:8080/v1", "HTTPS://h", "ftp://h/model.gguf"] {
            assert_eq!(at(url), JudgeAt::Url(url.into()));
        }
        for path in ["judge.gguf", "./local", "dir/judge", "127.0.0.1:8080", ""] {
            assert_eq!(at(path), JudgeAt::File(path.into()));
        }
    }

    #[test]
    fn a_preset_names_its_dimension_unless_another_criterion_is_asked_for() {
        let dimension = |criterion: Option<&str>, preset| {
            let judge_dimension = criterion.map(|text| text.parse().unwrap());
            JudgeArgs { judge_dimension, ..JudgeArgs::default() }.dimension(preset)
        };
        for preset in Quality::ALL {
            assert_eq!(dimension(None, Some(preset)).unwrap().name(), preset.name());
        }
        assert_eq!(dimension(Some("instruction"), Some(Quality::Empathy)), None);
        assert_eq!(dimension(Some("reasoning"), Some(Quality::Empathy)), Some(Quality::Reasoning));
        assert_eq!(dimension(None, None), None);
        let why = "kindness".parse::<Criterion>().unwrap_err();
        assert!(why.contains("empathy") && why.contains("instruction"), "{why}");
    }

    #[test]
    fn numbers_may_be_none_and_times_are_not_negative() {
        assert_eq!("none".parse(), Ok(OrNone::<f32>(None)));
        assert_eq!("0.5".parse(), Ok(OrNone(Some(0.5_f32))));
        assert!("x".parse::<OrNone<u32>>().unwrap_err().contains("a number or none"));
        assert_eq!("0.25".parse::<Seconds>().unwrap().0, Duration::from_millis(250));
        for bad in ["-1", "nan", "inf", "soon"] {
            assert!(bad.parse::<Seconds>().is_err(), "{bad}");
        }
    }
}
