//! Bytes that could be a public point of P-256 on its own, outside of any structure.
//!
//! An uncompressed point is `04 ‖ X ‖ Y` (SEC 1, section 2.3.3). Whether X and Y lie on the curve is
//! arithmetic that the caller does; here is only told which bytes are worth it. Coordinates look like
//! chance, so text, code, tables and padding are out. Compressed and encrypted data look like chance as
//! well and would be full of candidates; no device keeps a bare key *inside* such data, so a block that
//! is evenly filled with chance has none.

/// Bytes of an uncompressed point.
pub const POINT_LENGTH: usize = 65;
/// Bytes of a block that is judged as a whole: a flash sector, the smallest piece a key is kept in.
pub const BLOCK_LENGTH: usize = 4096;
/// Different values among the 64 bytes of a candidate. Of 64 random bytes 56 differ, and fewer than
/// this do less often than once in a million.
const DISTINCT: u32 = 44;
/// Occurrences of the most frequent value in a block of chance: 16 are expected, and 48 would be eight
/// standard deviations more.
const FREQUENT: u16 = 48;

/// Offsets of what could be points in `data`, at most `limit` of them. The first block begins where
/// `data` begins.
#[must_use]
pub fn points(data: &[u8], limit: usize) -> Vec<usize> {
    let mut found = Vec::new();
    for (number, block) in data.chunks(BLOCK_LENGTH).enumerate() {
        let start = number * BLOCK_LENGTH;
        let mut judged = false;
        for index in memchr::memchr_iter(4, block) {
            let Some(point) = data.get(start + index..start + index + POINT_LENGTH) else {
                break;
            };
            if !looks_like_chance(point) {
                continue;
            }
            // Asked once, and only of a block that has a candidate: text and code rarely have one.
            if !judged && block.len() == BLOCK_LENGTH && is_even(block) {
                break;
            }
            judged = true;
            if found.len() >= limit {
                return found;
            }
            found.push(start + index);
        }
    }
    found
}

fn looks_like_chance(point: &[u8]) -> bool {
    let mut seen = [0_u64; 4];
    for byte in point.iter().skip(1) {
        if let Some(word) = seen.get_mut(usize::from(byte >> 6)) {
            *word |= 1 << (byte & 63);
        }
    }
    seen.iter().map(|word| word.count_ones()).sum::<u32>() >= DISTINCT
}

fn is_even(block: &[u8]) -> bool {
    let mut counts = [0_u16; 256];
    for byte in block {
        if let Some(count) = counts.get_mut(usize::from(*byte)) {
            *count = count.saturating_add(1);
        }
    }
    counts.iter().all(|count| *count < FREQUENT)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bytes that look like chance and are the same in every run (splitmix64).
    fn chance(length: usize, seed: u64) -> Vec<u8> {
        let mut state = seed;
        let mut step = || {
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut word = state;
            word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            (word ^ (word >> 31)).to_le_bytes()[0]
        };
        (0..length).map(|_| step()).collect()
    }

    fn point(seed: u64) -> Vec<u8> {
        let mut point = vec![4];
        point.extend(chance(64, seed));
        point
    }

    #[test]
    fn a_point_in_padding_is_found_wherever_it_stands() {
        for place in [0, 1, 4000, 4095, 4096, 9000 - POINT_LENGTH] {
            let mut data = vec![0xff; 9000];
            data[place..place + POINT_LENGTH].copy_from_slice(&point(place as u64 + 7));
            assert!(points(&data, 100).contains(&place), "{place}");
        }
    }

    #[test]
    fn text_and_padding_have_none() {
        assert!(points(&[4; 9000], 100).is_empty());
        assert!(
            points(
                &b"\x04 the quick brown fox jumps over the lazy dog".repeat(300),
                100
            )
            .is_empty()
        );
    }

    #[test]
    fn blocks_of_chance_have_none() {
        assert!(points(&chance(BLOCK_LENGTH * 8, 3), 100).is_empty());
        // What is less than a block is not judged as one.
        assert!(!points(&chance(BLOCK_LENGTH - 1, 3), 100).is_empty());
    }

    #[test]
    fn the_limit_holds_and_a_cut_point_is_none() {
        let many = point(5).repeat(60);
        assert_eq!(points(&many, 7).len(), 7);
        assert!(points(&point(5)[..64], 7).is_empty());
    }
}
