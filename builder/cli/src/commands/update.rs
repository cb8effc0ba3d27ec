//! `portadc update`

use anyhow::Result;

use crate::arguments::{Common, SourceOptions};

pub fn run(_common: &Common, _sources: &SourceOptions, _if_gone: bool) -> Result<()> {
    Ok(())
}
