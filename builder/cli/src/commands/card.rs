//! `portadc flash`

use std::path::Path;

use anyhow::Result;
use engine::Task;
use flash::device::FixedDisks;
use flash::{FlashError, MissingFirmware, Report, Request, Step, Writes, flash};
use formats::units::Bytes;
use model::finding::Findings;
use serde_json::json;

use crate::arguments::{Common, Probe};
use crate::output::{Coded, DEVICE_REFUSED, VERIFICATION_FAILED, print, print_json, warn};
use crate::workplace;

/// How a card is written.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    pub without_firmware: bool,
    pub fixed_disk: bool,
    pub only_changed: bool,
    pub probe: Probe,
}

/// Writes the image of `node` to `device` and reads it back.
pub fn run(common: &Common, node: &str, device: &Path, options: Options) -> Result<()> {
    let project = workplace::project(common)?;
    let node = project.node(node).map_err(Findings::from)?;
    let files = workplace::node_image(common, &project.root, &node.name)?;
    let engine = workplace::engine(common, &project.root)?;
    let mut request = Request::new(&node.name, &files.image, device);
    if options.without_firmware {
        request.missing_firmware = MissingFirmware::Accept;
    }
    if options.fixed_disk {
        request.fixed_disks = FixedDisks::Accept;
    }
    if options.only_changed {
        request.writes = Writes::Changed;
    }
    if options.probe == Probe::Full {
        request.probe = flash::Probe::Full;
    }
    let mut shown: Option<(Step, Task)> = None;
    let report = flash(&request, &mut |step, done, total| {
        if shown.as_ref().is_none_or(|(current, _)| *current != step) {
            let name = match step {
                Step::Unpack => "unpack",
                Step::Write => "write",
                Step::Fill => "fill",
                Step::ReadBack => "read back",
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
            "unchanged": report.unchanged.0,
            "speed": report.speed.map(|speed| json!({ "write": speed.write.0, "read": speed.read.0 })),
        }));
    }
    print(&told(&report, device))
}

/// What was done, in a line or two.
fn told(report: &Report, device: &Path) -> String {
    let unchanged = match report.unchanged {
        Bytes(0) => String::new(),
        unchanged => format!(", {unchanged} of it there before,"),
    };
    let mut text = format!(
        "{}: {} written to {}{unchanged} and read back; it grows to {} when it first starts\n",
        report.node,
        report.written,
        device.display(),
        report.card
    );
    if let Some(speed) = report.speed {
        text += &format!(
            "{} holds all that it claims; it takes {}/s and gives {}/s\n",
            device.display(),
            speed.write,
            speed.read
        );
    }
    text
}
