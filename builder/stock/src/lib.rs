//! The parts that come with the program, and what a person makes of them: a project of their own, and copies to edit.
//!
//! | module | owns |
//! |---|---|
//! | [`eject`] | a copy of a stock part in a project |
//! | [`init`] | a new project |
//! | `choices` | what it is of |
//! | `fleet` | the text of its fleet |
//! | `place` | files put in place as a whole or not at all |

use std::path::Path;

use model::files::{Files, StockFile};

pub use choices::{Choices, MOST_NODES};
pub use eject::eject;
pub use init::{check_folder, init};

mod choices;
mod eject;
mod fleet;
mod init;
mod place;

/// Every file that comes with the program, in the order of their paths.
static STOCK: &[StockFile] = &include!(concat!(env!("OUT_DIR"), "/files.rs"));

/// The files of the project at `root`, and the stock parts for those that it does not have.
pub fn files(root: &Path) -> Files {
    Files::with_stock(root, STOCK)
}
