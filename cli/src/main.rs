//! The program `sda`: see the library.

fn main() -> std::process::ExitCode {
    sda_cli::main()
}
