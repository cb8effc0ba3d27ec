//! placeholder

pub mod tars;
