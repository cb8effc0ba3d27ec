//! OpenSSH public keys as people paste them.

use ssh_key::{Algorithm, PublicKey};

use crate::names::quoted;

/// Says what is wrong with a line of `authorized_keys`, and what to do.
pub(crate) fn key_fault(line: &str) -> Option<(String, &'static str)> {
    const HINT: &str = "paste the one line of a `.pub` file, such as `~/.ssh/id_ed25519.pub`";
    if line.contains("PRIVATE KEY") {
        return Some((
            "it is a private key".to_owned(),
            "a private key never leaves its owner; paste the line of the `.pub` file, and make a new pair if this \
             file was shared",
        ));
    }
    if line.chars().any(char::is_control) {
        return Some((
            "it has a line break or another control character".to_owned(),
            HINT,
        ));
    }
    let kind = line.split(' ').next().unwrap_or_default();
    if !line.contains(' ') {
        return Some(("it is not a key type, a space and the key".to_owned(), HINT));
    }
    if line.starts_with("---- ") || kind.starts_with("-----") {
        return Some((
            "it is in PEM form".to_owned(),
            "`ssh-keygen -i -f FILE` turns it into one line",
        ));
    }
    if kind
        .parse::<Algorithm>()
        .map_or(true, |algorithm| matches!(algorithm, Algorithm::Other(_)))
    {
        return Some((format!("{} is no key type", quoted(kind)), HINT));
    }
    match PublicKey::from_openssh(line) {
        Ok(key) if matches!(key.algorithm(), Algorithm::Dsa) => Some((
            "OpenSSH no longer takes DSA keys".to_owned(),
            "make one with `ssh-keygen -t ed25519`",
        )),
        Ok(_) => None,
        Err(error) => Some((
            error.to_string(),
            "it was cut or edited; copy the whole line of the `.pub` file",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::key_fault;

    const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILM+rvN+ot98qgEN796jTiQfZfG1KaT0PtFDJ/XFSqti operator@example.org";

    #[test]
    fn takes_a_key_with_and_without_comment() {
        assert_eq!(key_fault(KEY), None);
        assert_eq!(key_fault(KEY.rsplit_once(' ').unwrap().0), None);
    }

    #[test]
    fn refuses_a_key_cut_at_any_place() {
        let key = KEY.rsplit_once(' ').unwrap().0;
        for end in 0..key.len() {
            assert!(key_fault(&key[..end]).is_some(), "{}", &key[..end]);
        }
    }

    #[test]
    fn refuses_what_is_no_line_of_a_pub_file() {
        for (line, fault) in [
            ("-----BEGIN OPENSSH PRIVATE KEY-----", "private key"),
            ("---- BEGIN SSH2 PUBLIC KEY ----", "PEM"),
            (&format!("{KEY}\n{KEY}"), "line break"),
            (&format!("command=\"/bin/sh\" {KEY}"), "no key type"),
            (&KEY.replace("ssh-ed25519 ", "ssh-rsa "), "algorithm"),
            ("", "space"),
        ] {
            let (found, _) = key_fault(line).unwrap();
            assert!(found.contains(fault), "{line}: {found}");
        }
    }
}
