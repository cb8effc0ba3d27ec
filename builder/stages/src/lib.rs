//! The work, from sources to cards. Each stage turns checked values and the outputs of earlier stages into files of
//! the cache; the crate `engine` gives it a key, a log, a progress line and a folder that only a finished stage leaves.

pub mod audit;
pub mod block_map;
pub mod boot;
pub mod build;
pub mod card;
pub mod delta_base;
pub mod diff;
pub mod firmware;
pub mod inspect;
pub mod kbuild;
pub mod kernel;
pub mod pack;
pub mod rootfs;
pub mod uboot;
pub mod vendor;
pub mod volume;
