//! Gentoo's binary packages without Gentoo: what indexes and package files say, which packages a node needs, and what
//! they put into a root file system. Values in, values out: no network, no processes, no clock.
//!
//! | module | owns |
//! |---|---|
//! | [`contents`] | `CONTENTS`: what an installed package has put where |
//! | [`install`] | packages merged over a stage3, as one layer over it |

pub mod contents;
pub mod install;
