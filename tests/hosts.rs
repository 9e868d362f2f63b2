//! The example hosts on a real model: with a shared llama.cpp that is not the one inside this crate's library,
//! with older releases, and with llama-cpp-python's. All must say the same, token for token.
//!
//! They need what make prepares, and fail where it is missing: `make test-hosts`, `make test-old-llama`,
//! `make test-llama-cpp-python`. A plain `cargo test` leaves them out.

use std::env::consts::DLL_SUFFIX;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::LazyLock;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");
const PROMPT: &str = "What does a computer do?";
const INSTRUCTION: &str = "Explain it to a five-year-old child, with an animal in the story.";

/// A variable that make sets.
fn given(name: &str) -> String {
    std::env::var(name)
        .unwrap_or_else(|_| panic!("{name} is not set: run `make test-hosts`, see mk/hosts.mk"))
}

/// Runs a program that prepares something, and returns what it prints.
fn prepare(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let [out, err] = [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap());
    assert!(output.status.success(), "{command:?}\n{out}{err}");
    out
}

/// Hosts that were built against one llama.cpp.
struct Hosts {
    folder: PathBuf,
    llama: PathBuf,
    python: String,
    model: String,
}

impl Hosts {
    /// Builds those in C and C++ against the llama.cpp in a folder, with further settings of CMake.
    fn build(llama: &Path, settings: &[String]) -> Hosts {
        let name = llama.file_name().unwrap();
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("hosts").join(name);
        // Settings of an earlier run would remain.
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).unwrap();
        prepare(
            Command::new("cmake")
                .args(["-S", &format!("{ROOT}/tests/hosts"), "-B"])
                .arg(&folder)
                .arg(format!("-Dsda_DIR={}", given("SDA_DIR")))
                .arg(format!("-DLLAMA_DIR={}", llama.display()))
                .args(settings),
        );
        prepare(Command::new("cmake").arg("--build").arg(&folder));
        let python = std::env::var("SDA_PYTHON").unwrap_or_else(|_| "python3".into());
        let llama = llama.join(format!("lib/libllama{DLL_SUFFIX}"));
        Hosts { folder, llama, python, model: given("SDA_TEST_MODEL") }
    }

    /// The same with one of the tiny models of tests/python/models.
    fn with_tiny(&self, name: &str) -> Hosts {
        let model = Path::new(&given("SDA_TEST_MODELS_DIR")).join(format!("{name}.gguf"));
        Hosts {
            folder: self.folder.clone(),
            llama: self.llama.clone(),
            python: self.python.clone(),
            model: model.to_str().unwrap().to_owned(),
        }
    }

    fn run(&self, host: &str, arguments: &[&str]) -> Output {
        let mut command = match host {
            "rust" => Command::new(Path::new(&given("SDA_BUNDLED")).join("examples/paired")),
            _ if host.ends_with(".py") => {
                let mut python = Command::new(&self.python);
                python.arg(format!("{ROOT}/examples/python/{host}"));
                python.env("PYTHONPATH", format!("{ROOT}/python"));
                python
            }
            _ => Command::new(self.folder.join(host)),
        };
        command.args(arguments).args((host == "engine").then_some("--chatml"));
        command.env("SDA_LIB", Path::new(&given("SDA_DIR")).join(format!("../../libsda{DLL_SUFFIX}")));
        command.env("LLAMA_LIB", &self.llama);
        // Threads that wait for one another by spinning cost minutes on a machine that is busy otherwise.
        command.env("OMP_WAIT_POLICY", "passive");
        command.output().unwrap_or_else(|error| panic!("{host}: {error}"))
    }

    fn answer(&self, host: &str, instruction: &str, amplification: &str, seed: &str, ids: bool) -> String {
        let mut arguments = vec![self.model.as_str(), PROMPT, instruction, amplification, seed, "40"];
        arguments.extend(ids.then_some("--ids"));
        let output = self.run(host, &arguments);
        let [out, err] = [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap());
        assert!(output.status.success(), "{host} {arguments:?}: {err}");
        out.trim_end().to_owned()
    }

    /// The token ids of an answer. A negative seed takes the most likely token each time.
    fn ids(&self, host: &str, amplification: &str, seed: &str) -> String {
        self.answer(host, INSTRUCTION, amplification, seed, true)
    }

    fn all_say_the_same(&self, hosts: &[&str], amplification: &str, seed: &str) {
        let expected = self.ids(hosts[0], amplification, seed);
        for host in &hosts[1..] {
            let found = self.ids(host, amplification, seed);
            assert_eq!(found, expected, "{host}, {}: amplification {amplification}, seed {seed}", hosts[0]);
        }
    }

    /// Without an instruction both branches are the same, so that no amplification can have an effect.
    fn steering_has_an_effect(&self, host: &str) {
        let answer = self.ids(host, "1", "7");
        assert!(answer.split(' ').count() >= 10, "{host}: {answer}");
        assert_eq!(answer, self.ids(host, "1", "7"), "{host}: the same seed");
        assert_ne!(answer, self.ids(host, "1", "8"), "{host}: another seed");
        assert_ne!(answer, self.ids(host, "0", "7"), "{host}: no amplification");
        let [without, with] = ["0", "3"].map(|a| self.answer(host, "", a, "7", true));
        assert_eq!(without, with, "{host}: no instruction");
    }

    /// tests/hosts/behaviour.c says what holds, line by line.
    fn behave(&self) {
        print!("{}", prepare(Command::new(self.folder.join("behaviour")).arg(&self.model)));
    }
}

mod hosts {
    use super::*;

    /// All with one llama.cpp, or with one of their own that is built from the same source.
    const ALL: [&str; 7] = ["paired", "paired-static", "paired-cpp", "paired.py", "rust", "engine", "dropin"];

    /// The README's lines for a llama.cpp program, as they stand there, in a header.
    fn lines_of_the_readme() -> PathBuf {
        let readme = std::fs::read_to_string(format!("{ROOT}/README.md")).unwrap();
        let (_, chapter) = readme.split_once("\n## In your llama.cpp program\n").unwrap();
        let (_, lines) = chapter.split_once("```c\n").unwrap();
        let (lines, _) = lines.split_once("```\n").unwrap();
        assert!(lines.lines().count() >= 20, "{lines}");
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("readme");
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("readme_snippet.h"), lines).unwrap();
        folder
    }

    static HOSTS: LazyLock<Hosts> = LazyLock::new(|| {
        Hosts::build(
            Path::new(&given("SDA_LLAMA_DIR")),
            &[
                format!("-DBUNDLED={}/libsda{DLL_SUFFIX}", given("SDA_BUNDLED")),
                format!("-DREADME_LINES={}", lines_of_the_readme().display()),
            ],
        )
    });

    #[test]
    #[ignore = "needs llama.cpp as a shared library: make test-hosts"]
    fn steering_changes_the_answer_and_needs_an_instruction() {
        HOSTS.steering_has_an_effect("paired");
        HOSTS.steering_has_an_effect("dropin");
    }

    #[test]
    #[ignore = "needs llama.cpp as a shared library: make test-hosts"]
    fn all_hosts_say_the_same_token_for_token() {
        for setting in [("1", "7"), ("1", "8"), ("0", "7"), ("-0.5", "7"), ("1", "-1"), ("2.5", "-1")] {
            HOSTS.all_say_the_same(&ALL, setting.0, setting.1);
        }
        let texts = ALL.map(|host| HOSTS.answer(host, INSTRUCTION, "1", "7", false));
        assert!(texts[0].len() > 40 && texts.iter().all(|text| *text == texts[0]), "{texts:#?}");
    }

    #[test]
    #[ignore = "needs llama.cpp as a shared library: make test-hosts"]
    fn the_lines_of_the_readme_say_the_same_as_they_stand() {
        // A score of 50 is this amplification.
        assert_eq!(HOSTS.ids("readme", "50", "7"), HOSTS.ids("paired", "0.46211715726", "7"));
    }

    #[test]
    #[ignore = "needs llama.cpp as a shared library: make test-hosts"]
    fn what_a_host_may_do_with_the_sampler_holds() {
        HOSTS.behave();
    }

    /// Mamba, RWKV and two hybrids: a context keeps one state of each sequence, and no earlier one.
    #[test]
    #[ignore = "needs llama.cpp as a shared library: make test-hosts"]
    fn models_with_recurrent_memory_are_steered_as_others() {
        for name in ["mamba", "rwkv7", "jamba", "lfm2"] {
            let hosts = HOSTS.with_tiny(name);
            hosts.behave();
            hosts.steering_has_an_effect("paired");
            hosts.steering_has_an_effect("dropin");
            for setting in [("1", "7"), ("-0.5", "7"), ("2.5", "-1")] {
                hosts.all_say_the_same(&ALL, setting.0, setting.1);
            }
        }
    }

    /// What llama.cpp adds at the end of a text would end the turn that the model is to go on with.
    #[test]
    #[ignore = "needs llama.cpp as a shared library: make test-hosts"]
    fn a_model_that_adds_an_end_to_texts_gets_none_in_its_prompt() {
        HOSTS.with_tiny("add-eos").all_say_the_same(&ALL, "1", "7");
    }

    #[test]
    #[ignore = "needs llama.cpp as a shared library: make test-hosts"]
    fn a_missing_model_and_a_wrong_setting_are_errors() {
        let model = given("SDA_TEST_MODEL");
        for host in ALL {
            let expected = match host {
                "rust" => ["No such file", "amplification is NaN, must be"],
                "paired.py" | "paired-cpp" => ["cannot load the model", "amplification is NaN, must be"],
                _ => ["cannot load the model", "a setting is outside its range"],
            };
            for (model, amplification, expected) in
                [("none.gguf", "1", expected[0]), (model.as_str(), "nan", expected[1])]
            {
                let output = HOSTS.run(host, &[model, PROMPT, INSTRUCTION, amplification, "7", "4"]);
                let said = String::from_utf8(output.stderr).unwrap();
                assert_eq!(output.status.code(), Some(1), "{host}: {said}");
                assert!(said.contains(expected), "{host}: {said}");
            }
        }
    }
}

/// Real older releases of llama.cpp: the source inside a release of llama-cpp-sys-2, built once.
mod old {
    use super::*;

    /// `api` is what sda_llama.h must be told; the headers adapt the examples, which are written for today.
    fn check(version: &str, api: Option<u32>, headers: &str) -> Hosts {
        let script = format!("{ROOT}/scripts/build-llama-shared.sh");
        let folder = prepare(Command::new(script).arg(version).stderr(Stdio::inherit()));
        let mut settings = vec!["-DSANITIZE=OFF".to_owned(), format!("-DINCLUDE_FIRST={headers}")];
        settings.extend(api.map(|api| format!("-DSDA_LLAMA_API={api}")));
        let hosts = Hosts::build(Path::new(folder.trim_end()), &settings);
        hosts.behave();
        let mut built = vec!["paired", "paired-static", "dropin", "paired-cpp"];
        built.retain(|host| hosts.folder.join(host).exists());
        hosts.steering_has_an_effect("paired");
        hosts.steering_has_an_effect("dropin");
        hosts.all_say_the_same(&built, "1", "7");
        hosts
    }

    /// Before June 2025 a host cannot tell at which position a state is.
    fn check_recurrent(hosts: &Hosts) {
        let recurrent = hosts.with_tiny("mamba");
        recurrent.behave();
        recurrent.steering_has_an_effect("paired");
        recurrent.all_say_the_same(&["paired", "dropin"], "1", "7");
    }

    #[test]
    #[ignore = "builds llama.cpp: make test-old-llama"]
    fn hosts_steer_llama_cpp_of_2024_09_with_6_callbacks_and_no_vocab() {
        check_recurrent(&check("0.1.84", Some(202_409), "llama_2024.h;flash_attn.h"));
    }

    #[test]
    #[ignore = "builds llama.cpp: make test-old-llama"]
    fn hosts_steer_llama_cpp_of_2025_01_with_llama_kv_cache() {
        check_recurrent(&check("0.1.89", Some(202_501), "flash_attn.h"));
    }

    #[test]
    #[ignore = "builds llama.cpp: make test-old-llama"]
    fn hosts_steer_llama_cpp_of_2025_05_with_llama_kv_self() {
        let hosts = check("0.1.103", None, "flash_attn.h");
        // This release gives two sequences of a recurrent model other rows in one context than in one for each.
        hosts.with_tiny("mamba").steering_has_an_effect("dropin");
    }

    #[test]
    #[ignore = "builds llama.cpp: make test-old-llama"]
    fn hosts_steer_llama_cpp_of_2025_08_with_llama_memory_and_kv_unified() {
        check_recurrent(&check("0.1.118", Some(202_507), "flash_attn.h"));
    }

    #[test]
    #[ignore = "builds llama.cpp: make test-old-llama"]
    fn hosts_steer_llama_cpp_of_2026_02_with_10_callbacks() {
        check_recurrent(&check("0.1.135", None, ""));
    }
}

mod llama_cpp_python {
    use super::*;

    /// The same llama.cpp in llama-cpp-python's own chain and through plain ctypes.
    #[test]
    #[ignore = "needs llama-cpp-python: make test-llama-cpp-python"]
    fn it_steers_and_says_what_ctypes_says() {
        let python = given("SDA_LLAMA_CPP_PYTHON");
        let find = "import llama_cpp, os; print(os.path.dirname(llama_cpp.__file__))";
        let folder = prepare(Command::new(&python).args(["-c", find]));
        let llama = Path::new(folder.trim_end()).join(format!("lib/libllama{DLL_SUFFIX}"));
        assert!(llama.is_file(), "{}", llama.display());
        let hosts = Hosts { folder: PathBuf::new(), llama, python, model: given("SDA_TEST_MODEL") };
        hosts.steering_has_an_effect("llama_cpp_python.py");
        for setting in [("1", "7"), ("0", "7"), ("-0.5", "7")] {
            hosts.all_say_the_same(&["paired.py", "llama_cpp_python.py"], setting.0, setting.1);
        }
        assert!(hosts.answer("llama_cpp_python.py", INSTRUCTION, "1", "7", false).len() > 40);
    }
}
