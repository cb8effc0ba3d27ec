//! The `portadc` command.

fn main() {}
