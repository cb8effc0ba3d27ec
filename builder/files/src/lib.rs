//! Files of this machine: opened without waiting for anybody, written whole or not at all, closed to others.
//!
//! | module | owns |
//! |---|---|
//! | `named` | what a person names to be read: nothing that would wait or never end |
//! | [`emit`] | what is written: whole or not at all, images with their holes |
//! | [`private`] | what holds keys, and whose it is |

pub mod emit;
mod named;
pub mod private;

pub use named::{open, read};
