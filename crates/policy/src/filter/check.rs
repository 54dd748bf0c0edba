//! What text may be a topic name or a topic filter.

/// Bytes of a topic name or topic filter. The protocol allows 65,535; the codec refuses more than
/// this, so a longer name or filter is never granted anything.
pub const TOPIC_LENGTH: usize = 1024;

/// Levels of a topic name or topic filter, `#` counted as one. Bounds the work of every question
/// this crate answers (CVE-2019-11779: stack overflow at 65,400 levels).
pub const TOPIC_LEVELS: usize = 32;

/// Why a text is no topic name or no topic filter.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TopicError {
    /// MQTT-4.7.3-1: at least one character.
    #[error("empty topic, write at least one character")]
    Empty,
    /// Longer than [`TOPIC_LENGTH`].
    #[error("topic of {length} bytes, {TOPIC_LENGTH} is the most: shorten it")]
    TooLong {
        /// Bytes found.
        length: usize,
    },
    /// More than [`TOPIC_LEVELS`].
    #[error("topic of {levels} levels, {TOPIC_LEVELS} is the most: use fewer `/`")]
    TooManyLevels {
        /// Levels found.
        levels: usize,
    },
    /// MQTT-4.7.3-2 and the characters that MQTT-1.5.4 lets a receiver refuse.
    #[error("character {character:?} in level {level}, remove it: controls and non-characters are refused")]
    Character {
        /// The character.
        character: char,
        /// The level it stands in, the first being 1.
        level: usize,
    },
    /// MQTT-4.7.1-1 (5.0: MQTT-4.7.0-1): a wildcard in a topic name.
    #[error("wildcard `{wildcard}` in level {level} of a topic name, name one concrete topic")]
    Wildcard {
        /// `+` or `#`.
        wildcard: char,
        /// The level it stands in, the first being 1.
        level: usize,
    },
    /// MQTT-4.7.1-2 and MQTT-4.7.1-3: a wildcard that shares its level, or `#` before the end.
    #[error("misplaced `{wildcard}` in level {level}, `+` takes a whole level and `#` a whole last level")]
    MisplacedWildcard {
        /// `+` or `#`.
        wildcard: char,
        /// The level it stands in, the first being 1.
        level: usize,
    },
}

/// Is `topic` a topic name that Motte carries?
///
/// # Errors
/// The first rule it breaks.
pub fn check_name(topic: &str) -> Result<(), TopicError> {
    if is_plain_name(topic) {
        return Ok(());
    }
    check_text(topic)?;
    for (index, level) in topic.split('/').enumerate() {
        if let Some(wildcard) = first_wildcard(level) {
            return Err(TopicError::Wildcard {
                wildcard,
                level: index.saturating_add(1),
            });
        }
    }
    Ok(())
}

/// Is `filter` a topic filter that Motte accepts? A shared subscription (`$share/…`) is judged as
/// the plain text it is.
///
/// # Errors
/// The first rule it breaks.
pub fn check_filter(filter: &str) -> Result<(), TopicError> {
    check_text(filter)?;
    let mut levels = filter.split('/').enumerate().peekable();
    while let Some((index, level)) = levels.next() {
        let Some(wildcard) = first_wildcard(level) else {
            continue;
        };
        let legal = level == "+" || (level == "#" && levels.peek().is_none());
        if !legal {
            return Err(TopicError::MisplacedWildcard {
                wildcard,
                level: index.saturating_add(1),
            });
        }
    }
    Ok(())
}

/// The whole check for the common case, in one pass without a branch per byte: a topic name of
/// ASCII text within the bounds. `false` says nothing, the full check does.
fn is_plain_name(topic: &str) -> bool {
    let mut slashes = 0_u16;
    let mut odd = false;
    for &byte in topic.as_bytes() {
        slashes = slashes.wrapping_add(u16::from(byte == b'/'));
        odd |= !(0x20..0x7f).contains(&byte) | (byte == b'+') | (byte == b'#');
    }
    !odd && !topic.is_empty() && topic.len() <= TOPIC_LENGTH && usize::from(slashes) < TOPIC_LEVELS
}

/// What holds for names and filters alike.
fn check_text(text: &str) -> Result<(), TopicError> {
    if text.is_empty() {
        return Err(TopicError::Empty);
    }
    if text.len() > TOPIC_LENGTH {
        return Err(TopicError::TooLong { length: text.len() });
    }
    let levels = text.split('/').count();
    if levels > TOPIC_LEVELS {
        return Err(TopicError::TooManyLevels { levels });
    }
    for (index, level) in text.split('/').enumerate() {
        if let Some(character) = level.chars().find(|&character| is_refused(character)) {
            return Err(TopicError::Character {
                character,
                level: index.saturating_add(1),
            });
        }
    }
    Ok(())
}

fn first_wildcard(level: &str) -> Option<char> {
    level
        .chars()
        .find(|&character| character == '+' || character == '#')
}

/// Control characters (U+0000 among them) and non-characters.
fn is_refused(character: char) -> bool {
    let code = u32::from(character);
    character.is_control() || code & 0xfffe == 0xfffe || (0xfdd0..=0xfdef).contains(&code)
}
