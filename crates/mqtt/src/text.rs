//! Which text may stand in a UTF-8 encoded string (3.1.1 section 1.5.3, 5.0 section 1.5.4).

use crate::rule::{self, Rule};

/// Refuses U+0000, which the standard forbids, and control characters and non-characters, which
/// it allows a receiver to refuse: they have no use in a topic and much use in log injection.
/// U+FEFF is text like any other and stays where it is (MQTT-1.5.4-3, MQTT-1.5.3-3).
#[inline]
pub(crate) fn check(text: &str) -> Result<(), &'static Rule> {
    // No early exit: without branches the loop runs over many bytes at once.
    let plain = text
        .bytes()
        .fold(true, |plain, byte| plain & matches!(byte, 0x20..=0x7E));
    if plain { Ok(()) } else { check_characters(text) }
}

fn check_characters(text: &str) -> Result<(), &'static Rule> {
    for character in text.chars() {
        match character {
            '\0' => return Err(&rule::STRING_NULL),
            '\u{1}'..='\u{1F}' | '\u{7F}'..='\u{9F}' => return Err(&rule::STRING_CONTROL),
            _ if is_non_character(character) => return Err(&rule::STRING_NON_CHARACTER),
            _ => {}
        }
    }
    Ok(())
}

/// The 66 code points that Unicode promises never to assign: U+FDD0..U+FDEF and the last two of
/// each plane.
fn is_non_character(character: char) -> bool {
    let code = u32::from(character);
    matches!(code, 0xFDD0..=0xFDEF) || code & 0xFFFE == 0xFFFE
}
