//! `--check COMMAND`: a program of the user's says whether an instructed answer stands.

use std::io::Write;
use std::process::{Command, ExitStatus, Stdio};
use std::thread;
use std::time::Duration;

use sda::text::strip_think;

use crate::failure::{Failure, Outcome};
use crate::record::Checked;
use crate::ui::interrupt::Interrupt;

/// How long the wait between two looks at a running command may get.
const LONGEST_NAP: Duration = Duration::from_millis(20);

/// How long Ctrl-C may take to be seen here after it has ended the command, which is in the same process group.
const INTERRUPT_DELAY: Duration = Duration::from_millis(100);

/// The user's command.
#[derive(Clone, Copy)]
pub struct Check<'a> {
    pub command: &'a str,
    /// Shows what the command writes to standard error.
    pub verbose: bool,
    /// Ends the command.
    pub interrupt: &'a Interrupt,
}

impl Check<'_> {
    /// Runs the command in a shell, with the answer but its reasoning on standard input; `thinking` as in its
    /// prompts. Its exit status is the outcome: 0 passes, 1 to 125 fail.
    ///
    /// # Errors
    /// Any other end, with the command and its status; [`Failure::Interrupted`] after Ctrl-C.
    pub fn run(&self, answer: &str, thinking: bool) -> Outcome<Checked> {
        let stderr = if self.verbose { Stdio::inherit() } else { Stdio::null() };
        let mut child = shell(self.command)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(stderr)
            .spawn()
            .map_err(|error| self.broken(&error))?;
        if let Some(mut stdin) = child.stdin.take() {
            let text = strip_think(answer, thinking).text.to_owned();
            // A command need not read all of it, nor any. What it started may hold the pipe after its end, so nobody
            // waits for this thread.
            thread::spawn(move || drop(stdin.write_all(text.as_bytes())));
        }
        let mut nap = Duration::from_millis(1);
        loop {
            if self.interrupt.is_wanted() {
                let _ = child.kill();
                let _ = child.wait();
                return Err(Failure::Interrupted);
            }
            match child.try_wait() {
                Ok(Some(status)) => return self.outcome(status),
                Ok(None) => thread::sleep(nap),
                Err(error) => return Err(self.broken(&error)),
            }
            nap = (2 * nap).min(LONGEST_NAP);
        }
    }

    fn outcome(&self, status: ExitStatus) -> Outcome<Checked> {
        match status.code() {
            Some(0) => Ok(Checked::Passed),
            Some(1..=125) => Ok(Checked::Failed),
            Some(126 | 127) => {
                Err(self.broken(&format!("{status}, the shell cannot start it; -v shows why")))
            }
            _ => {
                // A signal, or what a shell makes of one.
                thread::sleep(INTERRUPT_DELAY);
                self.interrupt.check()?;
                Err(self.broken(&format!("{status}, must be 0 (the answer stands) or 1 to 125 (it fails)")))
            }
        }
    }

    fn broken(&self, why: &dyn std::fmt::Display) -> Failure {
        Failure::Failed(format!("--check '{}': {why}", self.command))
    }
}

#[cfg(not(windows))]
fn shell(command: &str) -> Command {
    let mut shell = Command::new("sh");
    shell.args(["-c", command]);
    shell
}

#[cfg(windows)]
fn shell(command: &str) -> Command {
    use std::os::windows::process::CommandExt;
    let mut shell = Command::new("cmd");
    // Without Rust's quotes, which cmd does not read as other programs do: with /S it strips the outer ones and takes
    // the rest as it is.
    shell.raw_arg(format!("/S /C \"{command}\""));
    shell
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use crate::failure::message;

    fn run(command: &str, answer: &str) -> Outcome<Checked> {
        let interrupt = Interrupt::default();
        Check { command, verbose: false, interrupt: &interrupt }.run(answer, false)
    }

    #[test]
    fn the_exit_status_is_the_outcome_up_to_125() {
        let cases = [("true", Checked::Passed), ("exit 1", Checked::Failed), ("exit 125", Checked::Failed)];
        for (command, outcome) in cases {
            assert_eq!(run(command, "x").unwrap(), outcome, "{command}");
        }
        let broken = [
            ("exit 126", "--check 'exit 126': exit status: 126"),
            ("no-such-program-at-all", "--check 'no-such-program-at-all': exit status: 127"),
            ("exit 129", "exit status: 129, must be 0"),
            ("kill -9 $$", "signal: 9"),
        ];
        for (command, why) in broken {
            let failure = run(command, "x").unwrap_err();
            assert!(message(&failure).contains(why), "{command}: {}", message(&failure));
        }
    }

    #[test]
    fn the_command_reads_the_answer_as_it_is_but_its_reasoning() {
        let equals = |expected: &str, answer: &str| {
            run(&format!("test \"$(cat; echo .)\" = '{expected}.'"), answer).unwrap() == Checked::Passed
        };
        assert!(equals("one\ntwo", "one\ntwo"), "no newline is added");
        assert!(equals(" é\n\n", " é\n\n"), "none is taken away");
        assert!(equals("yes", "<think>no</think>yes"));
        assert!(equals("", "<think>never closed"));
        assert!(!equals("one", "two"));
    }

    #[test]
    fn an_answer_longer_than_a_pipe_may_be_left_unread() {
        let long = "word ".repeat(100_000);
        assert_eq!(run("true", &long).unwrap(), Checked::Passed);
        assert_eq!(run("test $(wc -c) -eq 500000", &long).unwrap(), Checked::Passed);
        // A program that stays behind with the pipe is not waited for.
        assert_eq!(run("exec 3<&0; sleep 30 <&3 & exit 3", &long).unwrap(), Checked::Failed);
    }

    #[test]
    fn ctrl_c_ends_the_command() {
        let interrupt = Interrupt::default();
        interrupt.ask();
        let start = std::time::Instant::now();
        let ended = Check { command: "sleep 60", verbose: false, interrupt: &interrupt }.run("x", false);
        assert!(matches!(ended, Err(Failure::Interrupted)), "{ended:?}");
        assert!(start.elapsed() < Duration::from_secs(30));
    }
}
