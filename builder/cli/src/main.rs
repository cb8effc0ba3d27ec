//! The `portadc` command: arguments in, calls out, results printed. It decides nothing.

mod arguments;
mod commands;
mod output;
mod workplace;

use std::process::ExitCode;

use clap::Parser;

use crate::arguments::Arguments;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match commands::run(&arguments) {
        Ok(code) => code,
        Err(error) => {
            let failed = commands::failed(&arguments.command);
            output::report(&error, arguments.common.json, failed)
        }
    }
}
