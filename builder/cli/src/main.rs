//! The `portadc` command: arguments in, calls out, results printed. It decides nothing.

mod arguments;
mod commands;
mod output;
mod workplace;

use std::process::ExitCode;

use clap::Parser;
use engine::{end_programs_first, ended_by};

use crate::arguments::Arguments;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let ran = end_programs_first().and_then(|()| commands::run(&arguments));
    if let Some(code) = ended_by() {
        output::say("error: portadc was told to end");
        return code.into();
    }
    match ran {
        Ok(code) => code,
        Err(error) => {
            let failed = commands::failed(&arguments.command);
            output::report(&error, arguments.common.json, failed)
        }
    }
}
