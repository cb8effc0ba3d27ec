//! What the fuzz targets share. Each target gives what it is handed to one reader, which has to come to an end without a
//! panic, in bounded time and memory; what it takes for sound has to be sound.
//!
//! | module | owns |
//! |---|---|
//! | [`image`] | images of any size in few bytes |
//! | [`btrfs`], [`gpt`] | checksums made right, so that readers look behind them |
//! | [`package`] | binary packages, read to their ends |
//! | [`seal`] | digests of whole files made right |

pub mod btrfs;
pub mod gpt;
pub mod image;
pub mod package;
pub mod seal;
