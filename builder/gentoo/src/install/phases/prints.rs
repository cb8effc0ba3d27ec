//! Whether a function of the shell does nothing but print: then nothing is missing where it is not run.
//!
//! bash prints a function (`declare -f`) command by command. What is understood here are simple commands of known names,
//! and what decides whether they run: `if`, `for`, `while`, `[[ ]]`, `&&`, `||`. Whatever else there is could do anything.

use super::Environment;

/// Commands that tell the user something, ask something, or change nothing but variables.
const HARMLESS: [&str; 38] = [
    ":",
    "[",
    "best_version",
    "break",
    "continue",
    "debug-print",
    "debug-print-function",
    "echo",
    "einfo",
    "einfon",
    "elog",
    "eqawarn",
    "ewarn",
    "false",
    "has",
    "has_version",
    "in_iuse",
    "linux-info_get_any_version",
    "local",
    "optfeature",
    "optfeature_header",
    "printf",
    "readme.gentoo_print_elog",
    "return",
    "shift",
    "test",
    "true",
    "unset",
    "use",
    "use_if_iuse",
    "usev",
    "usex",
    "ver_replacing",
    "ver_test",
    "xdg_environment_reset",
    // Set capabilities (`capabilities`), make what each start makes, and speak to a daemon that does not run.
    "fcaps_pkg_postinst",
    "tmpfiles_process",
    "udev_reload",
];

/// Words of the shell behind which a command follows.
const BEFORE_COMMANDS: [&str; 11] = [
    "!", "do", "done", "elif", "else", "fi", "if", "then", "until", "while", "{",
];

/// Functions that call each other.
const MAX_DEPTH: usize = 8;

/// Whether a function of a package only prints, by all that the package says of it. False where that cannot be told.
pub(super) fn only_prints(environment: &Environment, function: &str) -> bool {
    calls_only_print(environment, function, 0)
}

fn calls_only_print(environment: &Environment, function: &str, depth: usize) -> bool {
    let bodies = environment.bodies(function);
    depth < MAX_DEPTH
        && !bodies.is_empty()
        && bodies.iter().all(|body| {
            let Some(commands) = commands(body) else {
                return false;
            };
            commands.iter().all(|command| {
                HARMLESS.contains(&&command[..]) || calls_only_print(environment, command, depth + 1)
            })
        })
}

/// The names of all commands in a body; `None` where it has anything that is not understood.
fn commands(body: &str) -> Option<Vec<String>> {
    let mut words = Words { rest: body };
    let mut commands = Vec::new();
    // Whether the next word is a command, not an argument.
    let mut is_command = true;
    while let Some(word) = words.next()? {
        match word {
            Word::End => is_command = true,
            Word::Text(word) if is_command => match &word[..] {
                "for" | "select" => is_command = false,
                "[[" => {
                    words.condition()?;
                    is_command = false;
                }
                "}" | "]]" | "in" | "case" | "function" | "coproc" | "time" => return None,
                word if BEFORE_COMMANDS.contains(&word) => {}
                word if is_assignment(word) => {}
                _ => {
                    commands.push(word);
                    is_command = false;
                }
            },
            Word::Text(_) => {}
        }
    }
    Some(commands)
}

/// Whether a word gives a variable a value: `name=value`.
fn is_assignment(word: &str) -> bool {
    word.split_once('=').is_some_and(|(name, _)| {
        let name = name.strip_suffix('+').unwrap_or(name);
        !name.is_empty()
            && !name.starts_with(|c: char| c.is_ascii_digit())
            && name
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
    })
}

enum Word {
    /// A word as it is written, without its quotes.
    Text(String),
    /// What ends a command.
    End,
}

struct Words<'t> {
    rest: &'t str,
}

impl Words<'_> {
    /// The next word, `Some(None)` behind the last one; `None` for what is not understood.
    #[expect(clippy::option_option, reason = "the end is not a failure")]
    fn next(&mut self) -> Option<Option<Word>> {
        self.rest = self.rest.trim_start_matches([' ', '\t']);
        let Some(first) = self.rest.chars().next() else {
            return Some(None);
        };
        for end in ["&&", "||", ";", "\n"] {
            if let Some(rest) = self.rest.strip_prefix(end) {
                self.rest = rest;
                return Some(Some(Word::End));
            }
        }
        if first == '#' {
            let end = self.rest.find('\n').unwrap_or(self.rest.len());
            self.rest = &self.rest[end..];
            return self.next();
        }
        let word = self.word(|c| " \t\n;&|<>()".contains(c))?;
        // A redirection, a pipe, a background job, a group, an array.
        (!word.is_empty() && !self.rest.starts_with(['<', '>', '(', ')', '|', '&']) || self.is_joined())
            .then_some(Some(Word::Text(word)))
    }

    /// Whether what follows a word is `&&` or `||`.
    fn is_joined(&self) -> bool {
        self.rest.starts_with("&&") || self.rest.starts_with("||")
    }

    /// Reads a condition up to `]]`. What is compared in it is not run.
    fn condition(&mut self) -> Option<()> {
        loop {
            self.rest = self.rest.trim_start();
            if self.rest.is_empty() {
                return None;
            }
            if let Some(rest) = self.rest.strip_prefix("]]")
                && (rest.is_empty() || rest.starts_with([' ', '\t', '\n', ';', '&', '|']))
            {
                self.rest = rest;
                return Some(());
            }
            self.word(char::is_whitespace)?;
        }
    }

    /// Reads up to an unquoted character that `is_end`. Nothing that runs a command may be in it.
    fn word(&mut self, is_end: impl Fn(char) -> bool) -> Option<String> {
        let mut word = String::new();
        let mut chars = self.rest.char_indices().peekable();
        let mut quote = None;
        let mut end = self.rest.len();
        while let Some((at, c)) = chars.next() {
            match (quote, c) {
                (Some('\''), '\'') | (Some('"'), '"') => quote = None,
                (Some('\''), c) => word.push(c),
                (_, '`') => return None,
                (_, '$') if matches!(chars.peek(), Some((_, '(' | '[' | '\''))) => return None,
                (_, '\\') => word.push(chars.next()?.1),
                (None, '\'' | '"') => quote = Some(c),
                (None, c) if is_end(c) => {
                    end = at;
                    break;
                }
                (_, c) => word.push(c),
            }
        }
        if quote.is_some() {
            return None;
        }
        self.rest = &self.rest[end..];
        Some(word)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prints(body: &str, others: &str) -> bool {
        let text = format!("{others}pkg_postinst () \n{{ \n    {body}\n}}\n");
        only_prints(&Environment::of(&text), "pkg_postinst")
    }

    #[test]
    fn what_only_prints_is_understood() {
        for body in [
            "elog \"hello\";\n    einfo 'x $(touch /x)'",
            "if [[ -z ${REPLACING_VERSIONS} ]]; then\n        elog \"for ${PN} > 1\";\n    else\n        ewarn a\n    fi",
            "local v;\n    for v in ${REPLACING_VERSIONS};\n    do\n        if ver_test ${v} -lt 2; then\n            \
             ewarn \"x\";\n            break;\n        fi;\n    done",
            "use systemd && elog \"a & b | c; d\" || einfo c",
            "[[ ${x} == a* && $y < 3 ]] && elog \"y\"",
            "[[ ${x} =~ ^(a|b)$ ]] || return 0;\n    elog 'two\n    lines'",
            "local a=b c;\n    x=\"${c:-1}\";\n    optfeature \"more\" app/x;\n    fcaps_pkg_postinst",
            "show_all;\n    :",
        ] {
            assert!(prints(body, "show_all () \n{ \n    elog \"all\"\n}\n"), "{body}");
        }
    }

    #[test]
    fn what_could_do_more_is_not_taken_for_printing() {
        for body in [
            "elog \"$(touch /x)\"",
            "elog `touch /x`",
            "elog x > /etc/passwd",
            "elog x | tee /etc/x",
            "elog x & touch y",
            "elog x;touch y",
            "elog x && touch y",
            "touch /x",
            "if touch /x; then elog; fi",
            "if true; then touch /x; fi",
            "while elog; do touch /x; done",
            "for x in a; do touch $x; done",
            "for x in $(touch /x); do elog; done",
            "[[ -n $(touch /x) ]] && elog",
            "[[ -n x ]] && touch /x",
            "[[ a ]]; touch /x",
            "[[ -n x",
            "! touch /x",
            "{ touch /x; }",
            "( touch /x )",
            "case x in x) touch /x ;; esac",
            "x=y touch /x",
            "local a=$(touch /x)",
            "a=( $(touch /x) )",
            "elog <(touch /x)",
            "cat <<< x",
            "$x",
            "\"${COMMAND}\"",
            "eval elog",
            "unknown_function",
            "pkg_postinst",
            "elog \"not closed",
            "elog 'ends early\n}\n'; touch /x",
            "function f { touch /x; }; f",
            "then touch /x",
            "elog \\",
            "elog $'\\n' $[1]",
        ] {
            assert!(!prints(body, ""), "{body}");
        }
        // A text that looks like the function comes first.
        let decoy = "declare -x A=\"\npkg_postinst () \n{ \n    elog\n}\n\"\n";
        assert!(!prints("touch /x", decoy));
        assert!(!prints("calls", "calls () \n{ \n    touch /x\n}\n"));
        assert!(!only_prints(&Environment::of(""), "pkg_postinst"));
    }
}
