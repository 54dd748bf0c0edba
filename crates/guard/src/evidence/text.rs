//! Text that is safe to show and to store.

use std::fmt;

use serde::{Serialize, Serializer};

/// Bytes of one text in a record. The longest topic that the codec takes would double every record; what
/// tells an attack is in its beginning.
pub const TEXT_LENGTH: usize = 512;

/// Room for the mark that text was cut, as in `[+70000 bytes]`.
const MARK_LENGTH: usize = 32;

/// Escapes everything but printable ASCII as `\u{…}` and cuts what is longer than [`TEXT_LENGTH`].
///
/// All of it, not a list of dangerous characters: control characters and ESC drive a terminal,
/// bidirectional marks reorder what is read, line separators split lines, look-alikes name somebody
/// else, and the next such thing is not on any list yet. Escaping text that is already escaped changes
/// nothing.
#[must_use]
pub fn escape(text: &str) -> String {
    let mut safe = String::with_capacity(text.len().min(TEXT_LENGTH));
    // Where to cut, so that the mark still fits, should the text turn out to be too long.
    let mut cut = None;
    for (offset, character) in text.char_indices() {
        let length = safe.len();
        if is_printable(character) {
            safe.push(character);
        } else {
            safe.extend(character.escape_unicode());
        }
        if safe.len() > TEXT_LENGTH - MARK_LENGTH {
            let (length, offset) = *cut.get_or_insert((length, offset));
            if safe.len() > TEXT_LENGTH {
                safe.truncate(length);
                safe.push_str(&format!("[+{} bytes]", text.len().saturating_sub(offset)));
                break;
            }
        }
    }
    safe
}

const fn is_printable(character: char) -> bool {
    matches!(character, ' '..='~')
}

/// Escaped and bounded text; the only kind that a record can hold.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Text(String);

impl Text {
    /// Escapes and cuts.
    #[must_use]
    pub fn new(text: &str) -> Self {
        Self(escape(text))
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The safe text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&str> for Text {
    fn from(text: &str) -> Self {
        Self::new(text)
    }
}

impl From<String> for Text {
    fn from(text: String) -> Self {
        Self::new(&text)
    }
}

impl From<&String> for Text {
    fn from(text: &String) -> Self {
        Self::new(text)
    }
}

impl fmt::Display for Text {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl Serialize for Text {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}
