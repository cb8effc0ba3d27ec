//! `portadc flash`

use std::path::Path;

use anyhow::Result;
use engine::Task;
use flash::device::FixedDisks;
use flash::{FlashError, MissingFirmware, Request, Step, flash};
use model::finding::Findings;
use serde_json::json;

use crate::arguments::Common;
use crate::output::{Coded, DEVICE_REFUSED, VERIFICATION_FAILED, print, print_json, warn};
use crate::workplace;

/// Writes the image of `node` to `device` and reads it back.
pub fn run(
    common: &Common,
    node: &str,
    device: &Path,
    missing_firmware: MissingFirmware,
    fixed_disks: FixedDisks,
) -> Result<()> {
    let project = workplace::project(common)?;
    let node = project.node(node).map_err(Findings::from)?;
    let files = workplace::node_image(common, &project.root, &node.name)?;
    let engine = workplace::engine(common, &project.root)?;
    let request = Request {
        node: &node.name,
        image: &files.image,
        target: device,
        missing_firmware,
        fixed_disks,
    };
    let mut shown: Option<(Step, Task)> = None;
    let report = flash(&request, &mut |step, done, total| {
        if shown.as_ref().is_none_or(|(current, _)| *current != step) {
            let name = match step {
                Step::Unpack => "unpack",
                Step::Write => "write",
                Step::Verify => "verify",
            };
            shown = Some((step, engine.progress.bytes(name, total.0)));
        }
        if let Some((_, task)) = &shown {
            task.position(done.0);
        }
    });
    drop(shown);
    let report = report.map_err(|error| {
        let code = match &error {
            FlashError::Device(_) => DEVICE_REFUSED,
            FlashError::Verify(_) => VERIFICATION_FAILED,
            FlashError::Image(image) if image.is_verification_failure() => VERIFICATION_FAILED,
            FlashError::Image(_) | FlashError::Write(_) => return anyhow::Error::new(error),
        };
        let message = format!("{:#}", anyhow::Error::new(error));
        Coded { code, message }.into()
    })?;
    if let Some(why) = &report.not_shown {
        warn(&format!(
            "the kernel still shows the partitions that {} had before ({why}): take it out and put it in again",
            device.display()
        ));
    }
    if common.json {
        return print_json(&json!({
            "node": report.node,
            "image": report.image.0,
            "card": report.card.0,
            "written": report.written.0,
        }));
    }
    print(&format!(
        "{}: {} written to {} and read back; it grows to {} when it first starts\n",
        report.node,
        report.written,
        device.display(),
        report.card
    ))
}
