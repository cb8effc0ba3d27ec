//! What tests share; never shipped.

pub mod oracle;
