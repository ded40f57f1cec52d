//! Paths as they are printed: in a sentence, and in a line to copy into a shell.
//!
//! The bytes of a path are anything but 0. In JSON a path stands as text, what is not UTF-8
//! replaced; there serde escapes what has to be.

use std::path::Path;

/// `path` in a sentence: one line, whatever it holds, and nothing that a terminal obeys.
pub fn shown(path: &Path) -> String {
    printable(&path.to_string_lossy())
}

/// `text` with its control characters escaped.
pub fn printable(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() { shown.extend(c.escape_default()) } else { shown.push(c) }
    }
    shown
}

/// `path` as one word of a shell's command line, and no option.
///
/// What a terminal cannot print or give back stands in `$'…'`, which bash, zsh and POSIX
/// (since 2024) know.
pub fn quoted(path: &Path) -> String {
    match path.as_os_str().as_encoded_bytes() {
        option @ [b'-', ..] => quoted_word(&[b"./", option].concat()),
        bytes => quoted_word(bytes),
    }
}

/// [`quoted`], of a word that may be an option.
pub fn quoted_word(bytes: &[u8]) -> String {
    match str::from_utf8(bytes) {
        Ok(text) if !text.contains(char::is_control) => {
            shlex::try_quote(text).expect("a word holds no NUL").into_owned()
        }
        _ => format!("$'{}'", bytes.escape_ascii()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_would_obey_is_escaped_and_the_rest_is_as_it_is() {
        for (path, text) in [
            ("runs/0001", "runs/0001"),
            ("a b<é>'\"", "a b<é>'\""),
            ("two\nlines\u{1b}[31m\t", "two\\nlines\\u{1b}[31m\\t"),
            ("\u{9b}", "\\u{9b}"),
        ] {
            assert_eq!(shown(Path::new(path)), text);
        }
    }

    #[test]
    #[cfg(unix)]
    fn a_shell_reads_a_quoted_path_as_it_was() {
        use std::ffi::OsStr;
        use std::os::unix::ffi::OsStrExt;
        use std::process::Command;
        let all: Vec<u8> = (1..=255).collect();
        for bytes in [
            &b"runs/0001"[..],
            b"a b",
            b"it's",
            b"\"$HOME\" `id` \\n !x *?[a] ~ {a,b} #;|&()<>",
            "größe/数".as_bytes(),
            b"two\nlines",
            b"\x1b[31mred\x07",
            b"no\xffUTF-8\xc3",
            b"\xff0f'\\",
            &all,
        ] {
            let word = quoted(Path::new(OsStr::from_bytes(bytes)));
            assert!(!word.contains(char::is_control), "{word}");
            let output = Command::new("bash").arg("-c").arg(format!("printf %s {word}")).output();
            assert_eq!(output.unwrap().stdout, bytes, "{word}");
        }
        assert_eq!(quoted(Path::new("runs/0001")), "runs/0001");
        assert_eq!(quoted(Path::new("-run")), "./-run");
        assert_eq!(quoted_word(b"--bind-to"), "--bind-to");
    }
}
