//! Reads the corpus of raw messages: `tests/corpus/README.md` says how it is written.
//!
//!     tests/corpus/*.txt --load--> Case: what is sent, what must come of it
//!
//! It knows nothing of how the messages are driven: `tests/framing.rs` hands them to the parser alone.

use std::fs;
use std::path::{Path, PathBuf};

/// One case.
#[derive(Debug, Clone)]
pub struct Case {
    /// `file.txt:12: what it shows`.
    pub name: String,
    /// Lines `key: value` ahead of `send`.
    pub settings: Vec<(String, String)>,
    /// What is sent, all of it.
    pub sent: Vec<u8>,
    /// What must come of it, in order.
    pub outcomes: Vec<Outcome>,
}

/// `keyword: words`, and the bytes below it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// `target`, `status`, ...
    pub keyword: String,
    /// What stands behind the colon.
    pub words: Vec<String>,
    /// The lines below it.
    pub bytes: Vec<u8>,
}

impl Case {
    /// The value of a setting, or `default`.
    pub fn setting<'c>(&'c self, key: &str, default: &'c str) -> &'c str {
        self.settings.iter().find(|(name, _)| name == key).map_or(default, |(_, value)| value)
    }
}

/// All cases of the files in `tests/corpus/<folder>`, by name of the file.
pub fn load(folder: &str) -> Vec<Case> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus").join(folder);
    let entries = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry of the corpus").path()).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "txt"));
    files.sort();
    files.iter().flat_map(|file| parse(file)).collect()
}

/// Where the next `|` line goes.
enum At {
    Settings,
    Sent,
    Outcome,
}

fn parse(file: &Path) -> Vec<Case> {
    let text = fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    let file_name = file.file_name().expect("a file has a name").to_string_lossy();
    let mut cases: Vec<Case> = Vec::new();
    let mut at = At::Settings;
    for (index, line) in text.lines().enumerate() {
        let place = format!("{file_name}:{}", index + 1);
        if let Some(name) = line.strip_prefix("== ") {
            at = At::Settings;
            cases.push(Case { name: format!("{place}: {name}"), settings: vec![], sent: vec![], outcomes: vec![] });
            continue;
        }
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let case = cases.last_mut().unwrap_or_else(|| panic!("{place}: a case begins with `== name`"));
        if let Some(text) = line.strip_prefix('|') {
            let bytes = unescape(text, &place);
            match at {
                At::Settings => panic!("{place}: bytes ahead of `send:`"),
                At::Sent => case.sent.extend(bytes),
                At::Outcome => case.outcomes.last_mut().expect("set with the keyword").bytes.extend(bytes),
            }
            continue;
        }
        let (keyword, words) = line.split_once(':').unwrap_or_else(|| panic!("{place}: neither `key:` nor `|bytes`"));
        match (keyword, &at) {
            ("send", _) => at = At::Sent,
            (_, At::Settings) => case.settings.push((keyword.to_owned(), words.trim().to_owned())),
            _ => {
                at = At::Outcome;
                let words = words.split_whitespace().map(str::to_owned).collect();
                case.outcomes.push(Outcome { keyword: keyword.to_owned(), words, bytes: vec![] });
            }
        }
    }
    cases
}

/// A line's bytes: CRLF is added unless the line ends in a single backslash.
fn unescape(text: &str, place: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    loop {
        match rest {
            [] => {
                bytes.extend_from_slice(b"\r\n");
                return bytes;
            }
            [b'\\'] => return bytes,
            [b'\\', escape, after @ ..] => {
                rest = after;
                match escape {
                    b'r' => bytes.push(b'\r'),
                    b'n' => bytes.push(b'\n'),
                    b't' => bytes.push(b'\t'),
                    b'0' => bytes.push(0),
                    b'\\' => bytes.push(b'\\'),
                    b'x' => {
                        let digits = after.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
                        let byte = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok());
                        bytes.push(byte.unwrap_or_else(|| panic!("{place}: \\x wants two hex digits")));
                        rest = &after[2..];
                    }
                    b'{' => {
                        let end = after.iter().position(|byte| *byte == b'}');
                        let end = end.unwrap_or_else(|| panic!("{place}: \\{{ without }}"));
                        repeat(&after[..end], &mut bytes, place);
                        rest = &after[end + 1..];
                    }
                    _ => panic!("{place}: unknown escape \\{}", char::from(*escape)),
                }
            }
            [byte, after @ ..] => {
                bytes.push(*byte);
                rest = after;
            }
        }
    }
}

/// `12*text` within `\{}`; the text may have escapes of its own, but no braces.
fn repeat(text: &[u8], bytes: &mut Vec<u8>, place: &str) {
    let text = std::str::from_utf8(text).expect("the file is UTF-8");
    let (times, what) = text.split_once('*').unwrap_or_else(|| panic!("{place}: \\{{times*text}}"));
    let times = times.parse().unwrap_or_else(|error| panic!("{place}: \\{{{times}*: {error}"));
    let what = unescape(&format!("{what}\\"), place);
    bytes.extend(what.repeat(times));
}
