//! Many small files at the same time.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use anyhow::Result;
use engine::{failure, is_verification_failure};

/// Packages that are fetched at once: enough to hide the pauses between small files, and few enough for any server.
const AT_ONCE: usize = 4;

/// Packages of which an error tells one by one.
const TOLD: usize = 8;

/// Does `work` for each item, for a few of them at the same time. The results are in the order of the items.
pub(crate) fn side_by_side<T: Sync, R: Send>(
    items: &[T],
    work: impl Fn(&T) -> Result<R> + Sync,
) -> Vec<Result<R>> {
    let next = AtomicUsize::new(0);
    let results = Mutex::new(Vec::with_capacity(items.len()));
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE.min(items.len()) {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    let Some(item) = items.get(number) else { return };
                    let result = work(item);
                    // Only a thread that panicked leaves it poisoned, and the scope passes its panic on.
                    results
                        .lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .push((number, result));
                }
            });
        }
    });
    let mut results = results.into_inner().unwrap_or_else(PoisonError::into_inner);
    results.sort_by_key(|(number, _)| *number);
    results.into_iter().map(|(_, result)| result).collect()
}

/// All results, or what went wrong with how many of them.
pub(crate) fn all<R>(results: Vec<Result<R>>, named: impl Fn(usize) -> String) -> Result<Vec<R>> {
    let (count, mut done, mut failures, mut unverified) = (results.len(), Vec::new(), Vec::new(), false);
    for (number, result) in results.into_iter().enumerate() {
        match result {
            Ok(value) => done.push(value),
            Err(error) => {
                unverified |= is_verification_failure(&error);
                failures.push(format!("{}: {error:#}", named(number)));
            }
        }
    }
    if failures.is_empty() {
        return Ok(done);
    }
    let mut text = format!("{} of {count} packages cannot be had:", failures.len());
    let more = failures.len().saturating_sub(TOLD);
    for failure in failures.into_iter().take(TOLD) {
        text.push_str("\n- ");
        text.push_str(&failure);
    }
    if more > 0 {
        text.push_str(&format!("\n- and {more} more"));
    }
    Err(failure(text, unverified))
}
