//! Who administers the fleet and what tells it the time.

use crate::check::Check;
use crate::names::{domain_fault, quoted};
use crate::users::key_fault;
use crate::written::At;

/// Holds each line against what `authorized_keys` takes. Options before the key are refused: they would decide about
/// root's login in a place where nobody looks for it.
pub(super) fn check_admin_keys(check: &mut Check<'_>, keys: &[At<String>]) {
    for key in keys {
        if let Some((fault, hint)) = key_fault(key) {
            check
                .found(&key.span, format!("this is no OpenSSH public key: {fault}"))
                .hint(hint);
        }
    }
    check.distinct(keys, "admin key");
}

/// Holds NTP servers against the rules of host names; an address is one as well.
pub(super) fn check_time_servers(check: &mut Check<'_>, servers: &[At<String>]) {
    for server in servers {
        if let Some(fault) = domain_fault(server) {
            check
                .found(&server.span, format!("time server {} {fault}", quoted(server)))
                .hint("a host name or an IPv4 address: \"pool.ntp.org\"");
        }
    }
    check.distinct(servers, "time server");
}
