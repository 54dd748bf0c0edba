//! A short notation for packets, so that a row shows what is wrong and not how long it is.

/// The bytes that `text` stands for. Words, divided by blanks:
///
/// - `3A` is that byte, `3A*5` is it five times;
/// - `'a/b'` is a string with its two length bytes;
/// - `..` is the length of everything that follows, as a variable byte integer;
/// - `[` … `]` is what stands between, after its length as one byte: a block of properties.
pub(super) fn bytes(text: &str) -> Vec<u8> {
    let words: Vec<&str> = text.split_whitespace().collect();
    sequence(&mut words.as_slice())
}

fn sequence(words: &mut &[&str]) -> Vec<u8> {
    let mut out = Vec::new();
    while let Some((word, rest)) = words.split_first() {
        *words = rest;
        match *word {
            "]" => return out,
            "[" => {
                let block = sequence(words);
                out.push(u8::try_from(block.len()).unwrap());
                out.extend(block);
            }
            ".." => {
                let body = sequence(words);
                out.extend(variable_byte_integer(body.len()));
                out.extend(body);
            }
            string if string.starts_with('\'') => {
                let string = string.trim_matches('\'');
                out.extend(u16::try_from(string.len()).unwrap().to_be_bytes());
                out.extend(string.as_bytes());
            }
            byte => {
                let (byte, times) = byte.split_once('*').unwrap_or((byte, "1"));
                let byte = u8::from_str_radix(byte, 16).unwrap();
                out.extend(std::iter::repeat_n(byte, times.parse().unwrap()));
            }
        }
    }
    out
}

fn variable_byte_integer(mut value: usize) -> Vec<u8> {
    let mut out = Vec::new();
    while value > 0x7F {
        out.push(u8::try_from(value & 0x7F).unwrap() | 0x80);
        value >>= 7;
    }
    out.push(u8::try_from(value).unwrap());
    out
}

#[test]
fn the_notation_is_read() {
    assert_eq!(
        bytes("30 .. 'a' [ 23 00 01 ] 2A*3"),
        b"\x30\x0A\x00\x01a\x03\x23\x00\x01***"
    );
}
