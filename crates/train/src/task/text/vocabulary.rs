//! The symbols of a text: its characters, its bytes, or its words.

use crate::Error;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::iter;

/// What a symbol is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Unit {
    /// A Unicode scalar value.
    #[default]
    Char,
    /// One of 256, whatever they mean.
    Byte,
    /// A run of letters, digits, `'` and `_`; or another single character; or the end of a line.
    /// Other white space only separates.
    Word,
}

impl Unit {
    /// As the command line and `config.toml` write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Char => "char",
            Self::Byte => "byte",
            Self::Word => "word",
        }
    }
}

/// What stands for a word that is not in the vocabulary: symbol 0 of every vocabulary of words.
pub const UNKNOWN: &str = "<unk>";

/// The symbols that there are, by number.
///
/// As text: the characters in the order of their code points, or the words, most frequent first,
/// with a space between two of them; of bytes, nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Fields", into = "Fields")]
pub struct Vocabulary {
    unit: Unit,
    symbols: Vec<String>,
    numbers: HashMap<String, u32>,
}

/// As a file says it.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Fields {
    unit: Unit,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    symbols: String,
}

impl From<Vocabulary> for Fields {
    fn from(Vocabulary { unit, symbols, .. }: Vocabulary) -> Self {
        let symbols = match unit {
            Unit::Byte => String::new(),
            Unit::Char => symbols.concat(),
            Unit::Word => symbols.join(" "),
        };
        Self { unit, symbols }
    }
}

impl TryFrom<Fields> for Vocabulary {
    type Error = String;

    fn try_from(Fields { unit, symbols }: Fields) -> Result<Self, String> {
        let vocabulary = match unit {
            Unit::Byte if symbols.is_empty() => Self::of_bytes(),
            Unit::Byte => return Err("a vocabulary of bytes needs no symbols".to_owned()),
            Unit::Char => Self::new(unit, symbols.chars().map(String::from).collect()),
            Unit::Word => Self::new(unit, symbols.split(' ').map(String::from).collect()),
        };
        let count = vocabulary.len();
        if vocabulary.numbers.len() != count {
            return Err("a symbol of the vocabulary is there twice".to_owned());
        }
        if count < 2 || unit == Unit::Word && vocabulary.symbols[0] != UNKNOWN {
            return Err(format!("a vocabulary of {} {}s is none", count, unit.name()));
        }
        Ok(vocabulary)
    }
}

/// A text as numbers of symbols.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Encoded {
    /// The symbols, but for those that there are not.
    pub symbols: Vec<u32>,
    /// How many there are not: left out, or of words [`UNKNOWN`].
    pub unknown: u64,
    /// Some of these, each once.
    pub examples: Vec<String>,
}

/// Unknown symbols that are named.
const MOST_NAMED: usize = 8;

impl Vocabulary {
    fn new(unit: Unit, symbols: Vec<String>) -> Self {
        let numbers = symbols.iter().zip(0..).map(|(symbol, n)| (symbol.clone(), n)).collect();
        Self { unit, symbols, numbers }
    }

    fn of_bytes() -> Self {
        let name = |byte: u8| char::from(byte).to_string();
        Self::new(Unit::Byte, (0..=u8::MAX).map(name).collect())
    }

    /// The symbols of `bytes`; of words, [`UNKNOWN`] and the `most` most frequent, those that are
    /// equally frequent in the order of their characters.
    ///
    /// # Errors
    /// [`Error::Utf8`] for characters and words, if `bytes` are no text in UTF-8.
    pub fn of(unit: Unit, bytes: &[u8], most: usize) -> Result<Self, Error> {
        let mut seen = Seen::new(unit);
        seen.see(bytes)?;
        Ok(seen.vocabulary(most))
    }

    /// What a symbol is.
    pub fn unit(&self) -> Unit {
        self.unit
    }

    /// How many symbols there are.
    #[expect(clippy::len_without_is_empty, reason = "there is no empty one")]
    pub fn len(&self) -> usize {
        self.symbols.len()
    }

    /// The symbols of `bytes`, by `push`, which gets none for one that is not in the vocabulary.
    ///
    /// # Errors
    /// [`Error::Utf8`] for characters and words, if `bytes` are no text in UTF-8.
    pub fn each(&self, bytes: &[u8], mut push: impl FnMut(Option<u32>, &str)) -> Result<(), Error> {
        let number = |symbol: &str| self.numbers.get(symbol).copied();
        match self.unit {
            Unit::Byte => bytes.iter().for_each(|&byte| push(Some(byte.into()), "")),
            Unit::Char => {
                // Most characters are ASCII, and a table is faster than a map.
                let of_ascii = |n: u8| number(char::from(n).encode_utf8(&mut [0; 4]));
                let ascii: [Option<u32>; 128] = std::array::from_fn(|n| of_ascii(n as u8));
                for char in text(bytes)?.chars() {
                    let mut utf8 = [0; 4];
                    let symbol = char.encode_utf8(&mut utf8);
                    let found = ascii.get(char as usize).copied();
                    push(found.unwrap_or_else(|| number(symbol)), symbol);
                }
            }
            Unit::Word => words(text(bytes)?).for_each(|word| push(number(word), word)),
        }
        Ok(())
    }

    /// The symbols of `bytes`.
    ///
    /// # Errors
    /// As [`Vocabulary::each`].
    pub fn encode(&self, bytes: &[u8]) -> Result<Encoded, Error> {
        let mut encoded = Encoded::default();
        let unknown = (self.unit == Unit::Word).then_some(0);
        self.each(bytes, |number, symbol| {
            encoded.symbols.extend(number.or(unknown));
            if number.is_none() {
                encoded.unknown += 1;
                let named = &mut encoded.examples;
                if named.len() < MOST_NAMED && !named.iter().any(|name| name == symbol) {
                    named.push(symbol.to_owned());
                }
            }
        })?;
        Ok(encoded)
    }

    /// Appends the text of `symbol` to `text`, behind the symbol `before`.
    ///
    /// Between two words stands a space, but for the ends of lines, for marks that close a part of a
    /// sentence, and behind an opening bracket.
    ///
    /// # Panics
    /// If there is no such symbol.
    pub fn decode_to(&self, before: Option<u32>, symbol: u32, text: &mut Vec<u8>) {
        let name = &self.symbols[symbol as usize];
        match self.unit {
            Unit::Byte => text.push(symbol as u8),
            Unit::Char => text.extend(name.bytes()),
            Unit::Word => {
                let is_open = |word: &str| matches!(word, "\n" | "(" | "[" | "{");
                let closes = |word: &str| {
                    matches!(word, "\n" | "." | "," | ";" | ":" | "!" | "?" | ")" | "]" | "}")
                };
                let before = before.map(|before| self.symbols[before as usize].as_str());
                if before.is_some_and(|before| !is_open(before)) && !closes(name) {
                    text.push(b' ');
                }
                text.extend(name.bytes());
            }
        }
    }

    /// The text of `symbols`; bytes that are no UTF-8 are replaced by `�`.
    pub fn decode(&self, symbols: &[u32]) -> String {
        let mut text = Vec::new();
        let mut before = None;
        for &symbol in symbols {
            self.decode_to(before, symbol, &mut text);
            before = Some(symbol);
        }
        String::from_utf8_lossy(&text).into_owned()
    }
}

/// The symbols of a text that comes in pieces, none of which ends within one.
#[derive(Debug)]
pub enum Seen {
    /// Of bytes there are all.
    Bytes,
    /// By code point.
    Chars(Vec<bool>),
    /// How often.
    Words(HashMap<String, u64>),
}

impl Seen {
    /// None yet.
    pub fn new(unit: Unit) -> Self {
        match unit {
            Unit::Byte => Self::Bytes,
            Unit::Char => Self::Chars(vec![false; char::MAX as usize + 1]),
            Unit::Word => Self::Words(HashMap::new()),
        }
    }

    /// One more piece.
    ///
    /// # Errors
    /// As [`Vocabulary::of`].
    pub fn see(&mut self, bytes: &[u8]) -> Result<(), Error> {
        match self {
            Self::Bytes => {}
            Self::Chars(is_there) => {
                text(bytes)?.chars().for_each(|char| is_there[char as usize] = true);
            }
            Self::Words(counts) => {
                words(text(bytes)?).for_each(|word| match counts.get_mut(word) {
                    Some(count) => *count += 1,
                    None => drop(counts.insert(word.to_owned(), 1)),
                });
            }
        }
        Ok(())
    }

    /// All of them: see [`Vocabulary::of`].
    pub fn vocabulary(self, most: usize) -> Vocabulary {
        match self {
            Self::Bytes => Vocabulary::of_bytes(),
            Self::Chars(is_there) => {
                let chars = ('\0'..=char::MAX).filter(|&char| is_there[char as usize]);
                Vocabulary::new(Unit::Char, chars.map(String::from).collect())
            }
            Self::Words(mut counts) => {
                counts.remove(UNKNOWN);
                let mut all: Vec<_> = counts.into_iter().collect();
                all.sort_unstable_by(|(a, n), (b, m)| m.cmp(n).then(a.cmp(b)));
                let words = all.into_iter().take(most).map(|(word, _)| word);
                let words = iter::once(UNKNOWN.to_owned()).chain(words);
                Vocabulary::new(Unit::Word, words.collect())
            }
        }
    }
}

fn text(bytes: &[u8]) -> Result<&str, Error> {
    std::str::from_utf8(bytes).map_err(|error| Error::Utf8 {
        offset: error.valid_up_to() as u64,
        byte: bytes[error.valid_up_to()],
    })
}

/// See [`Unit::Word`].
fn words(text: &str) -> impl Iterator<Item = &str> {
    let is_inner = |char: char| char.is_alphanumeric() || char == '\'' || char == '_';
    let mut rest = text;
    iter::from_fn(move || {
        let separates = |char: char| char.is_whitespace() && char != '\n';
        rest = rest.trim_start_matches(separates);
        let first = rest.chars().next()?;
        let end = if is_inner(first) {
            rest.find(|char| !is_inner(char)).unwrap_or(rest.len())
        } else {
            first.len_utf8()
        };
        let (word, others) = rest.split_at(end);
        rest = others;
        Some(word)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "Don't stop!\n  Über (all) the the_end, 12 \u{1F600}\n";

    #[test]
    fn characters_are_numbered_by_their_code_points_and_come_back() {
        let vocabulary = Vocabulary::of(Unit::Char, TEXT.as_bytes(), 0).unwrap();
        let encoded = vocabulary.encode(TEXT.as_bytes()).unwrap();
        assert_eq!(encoded.symbols.len(), TEXT.chars().count());
        assert_eq!((encoded.symbols[11], encoded.unknown), (0, 0), "the end of a line is first");
        assert_eq!(vocabulary.decode(&encoded.symbols), TEXT);
        let other = vocabulary.encode("zzq".as_bytes()).unwrap();
        assert_eq!((other.symbols.len(), other.unknown), (0, 3));
        assert_eq!(other.examples, ["z", "q"]);
    }

    #[test]
    fn every_byte_is_a_symbol() {
        let vocabulary = Vocabulary::of(Unit::Byte, &[], 0).unwrap();
        let bytes: Vec<u8> = (0..=255).collect();
        let symbols = vocabulary.encode(&bytes).unwrap().symbols;
        assert!(symbols.iter().copied().eq(0..256) && vocabulary.len() == 256);
    }

    #[test]
    fn words_are_runs_of_letters_and_the_rest_stands_alone() {
        let all: Vec<_> = words(TEXT).collect();
        let expected = [
            "Don't",
            "stop",
            "!",
            "\n",
            "Über",
            "(",
            "all",
            ")",
            "the",
            "the_end",
            ",",
            "12",
            "\u{1F600}",
            "\n",
        ];
        assert_eq!(all, expected);
    }

    #[test]
    fn the_most_frequent_words_are_known_and_the_others_are_not() {
        let text = "b a c a b a d <unk>";
        let vocabulary = Vocabulary::of(Unit::Word, text.as_bytes(), 2).unwrap();
        let encoded = vocabulary.encode(text.as_bytes()).unwrap();
        assert_eq!(encoded.symbols, [2, 1, 0, 1, 2, 1, 0, 0, 0, 0]);
        assert_eq!(
            (encoded.unknown, encoded.examples),
            (5, ["c", "d", "<", "unk", ">"].map(String::from).to_vec())
        );
        assert_eq!(vocabulary.decode(&[1, 2, 0]), "a b <unk>");
    }

    #[test]
    fn words_are_joined_as_sentences_are_written() {
        let text = "Stop, (all) of you!\nWhy? Don't.";
        let vocabulary = Vocabulary::of(Unit::Word, text.as_bytes(), 100).unwrap();
        let symbols = vocabulary.encode(text.as_bytes()).unwrap().symbols;
        assert_eq!(vocabulary.decode(&symbols), text);
    }

    #[test]
    fn what_is_no_text_is_refused_with_its_place() {
        for unit in [Unit::Char, Unit::Word] {
            let refused = Vocabulary::of(unit, b"ab\xffc", 5).unwrap_err().to_string();
            assert!(
                refused.contains("byte 2 (0xff)") && refused.contains("--unit byte"),
                "{refused}"
            );
        }
    }

    #[test]
    fn a_vocabulary_is_kept_as_text() {
        for unit in [Unit::Char, Unit::Byte, Unit::Word] {
            let vocabulary = Vocabulary::of(unit, TEXT.as_bytes(), 6).unwrap();
            let text = serde_json::to_string(&vocabulary).unwrap();
            assert_eq!(serde_json::from_str::<Vocabulary>(&text).unwrap(), vocabulary, "{text}");
        }
        for bad in [
            r#"{"unit":"char","symbols":"aa"}"#,
            r#"{"unit":"char","symbols":"a"}"#,
            r#"{"unit":"byte","symbols":"a"}"#,
            r#"{"unit":"word","symbols":"a b"}"#,
        ] {
            assert!(serde_json::from_str::<Vocabulary>(bad).is_err(), "{bad}");
        }
    }
}
