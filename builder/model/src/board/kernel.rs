//! What a board needs of the kernel beside what all boards have.

use std::sync::Arc;

use crate::files::Files;
use crate::finding::{Finding, Findings, SourceFile};
use crate::kernel::fragment::{self, Request, Value};
use crate::written::At;

/// What the fragment asks for that `written`, which is in `file`, names. It switches nothing off: one kernel serves a fleet, and
/// what no board of it needs is off in `kernel/fragments`.
pub(crate) fn load_kernel_fragment(
    files: &Files,
    file: &Arc<SourceFile>,
    written: &At<String>,
    findings: &mut Findings,
) -> Vec<Request> {
    let loaded = files.load(&file.path.with_file_name(&written.value));
    let place = || file.place(written.span.clone());
    let Some(fragment) = findings.keep(loaded.map_err(|finding| finding.at(place()))) else {
        return Vec::new();
    };
    let requests = fragment::parse(&fragment, findings);
    for request in requests.iter().filter(|request| request.value == Value::No) {
        findings.push(
            Finding::new(format!("a board cannot switch off CONFIG_{}", request.symbol))
                .at(request.place.clone())
                .hint("one kernel serves all boards of a fleet: what none of them needs is off in kernel/fragments"),
        );
    }
    fragment::check_contradictions(&requests, findings);
    requests
}
