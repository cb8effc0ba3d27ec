//! The resolver: what it decides is what emerge decides, and what it says when it cannot.

mod builds;
mod emerge;
mod explained;
mod random;
mod same_as_emerge;
mod world;
