//! Layer 8.

use motte_mqtt::ReasonCode;
use proptest::prelude::*;

use super::{
    Broken, Chain, Hash, Kind, LINE_LENGTH, Record, TEXT_LENGTH, Text, Verified, Why, escape, verify,
};
use crate::testing::at;
use crate::{Act, Manner};
use crate::{Denial, Layer};

fn records() -> Vec<Record> {
    let denial = Denial::new(
        Layer::Authorization,
        "authorization.not-granted",
        ReasonCode::NotAuthorized,
        "no grant",
    );
    vec![
        Record::new(Kind::Started, at(0)),
        Record::new(Kind::Connected, at(1))
            .identity("device/a")
            .client_id("a")
            .peer("192.0.2.1:40000"),
        Record::refused(&denial, at(2))
            .identity("device/a")
            .topic("toasters/b/command")
            .count(17),
        Record::new(Kind::Withheld, at(3)).detail("quotes \" and back\\slashes"),
        Record::new(Kind::Stopped, at(4)),
    ]
}

fn log() -> Vec<u8> {
    let mut chain = Chain::new();
    records()
        .iter()
        .flat_map(|record| format!("{}\n", chain.append(record)).into_bytes())
        .collect()
}

fn lines() -> Vec<Vec<u8>> {
    log()
        .split_inclusive(|&byte| byte == b'\n')
        .map(<[u8]>::to_vec)
        .collect()
}

fn broken(log: &[u8]) -> Broken {
    verify(log).unwrap_err()
}

#[test]
fn a_line_is_what_the_documentation_says() {
    let mut chain = Chain::new();
    let record = Record::new(Kind::SessionTakenOver, at(1))
        .identity("device/a")
        .detail("say \"hi\"");
    let line = chain.append(&record);
    let json = r#"{"at_unix_ms":1000001000,"kind":"session_taken_over","identity":"device/a","detail":"say \"hi\"","count":1}"#;
    let zeros = "0".repeat(64);
    let hash = chain.last_hash().to_string();
    assert_eq!(
        line,
        format!(r#"{{"seq":1,"previous":"{zeros}","record":{json},"hash":"{hash}"}}"#)
    );
    let value: serde_json::Value = serde_json::from_str(&line).unwrap();
    assert_eq!(value["record"]["detail"], "say \"hi\"");
}

#[test]
fn the_hash_is_sha256_over_previous_seq_and_record() {
    use sha2::Digest;
    let mut chain = Chain::resume(41, "ab".repeat(32).parse().unwrap());
    let record = Record::new(Kind::Started, at(0));
    let line = chain.append(&record);
    let mut bytes = vec![0xab; 32];
    bytes.extend([0, 0, 0, 0, 0, 0, 0, 42]);
    bytes.extend(br#"{"at_unix_ms":1000000000,"kind":"started","count":1}"#);
    let expected: String = sha2::Sha256::digest(&bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    assert!(line.ends_with(&format!(r#","hash":"{expected}"}}"#)), "{line}");
    assert!(line.starts_with(r#"{"seq":42,"previous":"abab"#), "{line}");
    assert_eq!(chain.last_hash().to_string(), expected);
    assert_eq!(chain.last_seq(), 42);
}

#[test]
fn every_field_and_kind_has_its_stable_name() {
    let full = Record {
        at_unix_ms: 1,
        kind: Kind::Refused,
        layer: Some(Layer::Tls),
        rule: Some("r".into()),
        identity: Some("i".into()),
        client_id: Some("c".into()),
        peer: Some("p".into()),
        topic: Some("t".into()),
        manner: Some(Manner {
            act: Act::Many,
            qos: 2,
            retain: true,
        }),
        detail: "d".into(),
        count: 2,
    };
    assert_eq!(
        full.canonical(),
        r#"{"at_unix_ms":1,"kind":"refused","layer":"tls","rule":"r","identity":"i","client_id":"c","peer":"p","topic":"t","manner":{"act":"many","qos":2,"retain":true},"detail":"d","count":2}"#
    );
    for layer in Layer::ALL {
        assert_eq!(serde_json::to_value(layer).unwrap(), layer.name());
    }
    for (number, layer) in (0..).zip(Layer::ALL) {
        assert_eq!(layer.number(), number);
    }
}

#[test]
fn an_untouched_log_verifies_and_an_empty_one_too() {
    let log = log();
    let verified = verify(&*log).unwrap();
    assert_eq!((verified.count, verified.length), (5, log.len() as u64));
    let empty = verify(&b""[..]).unwrap();
    assert_eq!(
        empty,
        Verified {
            count: 0,
            last_hash: Hash::START,
            length: 0
        }
    );
}

#[test]
fn a_chain_goes_on_where_it_stopped() {
    let mut log = log();
    let verified = verify(&*log).unwrap();
    let mut chain = Chain::resume(verified.count, verified.last_hash);
    log.extend(format!("{}\n", chain.append(&Record::new(Kind::Started, at(9)))).into_bytes());
    let verified = verify(&*log).unwrap();
    assert_eq!((verified.count, verified.last_hash), (6, chain.last_hash()));
}

#[test]
fn removed_moved_and_repeated_lines_are_found_where_they_are() {
    let lines = lines();
    let without = |index: usize| {
        let mut lines = lines.clone();
        lines.remove(index);
        lines.concat()
    };
    for index in 0..lines.len() - 1 {
        let broken = broken(&without(index));
        assert_eq!(broken.line, index as u64 + 1);
        assert!(matches!(broken.why, Why::OutOfSequence), "{broken:?}");
        assert_eq!(broken.intact.count, index as u64);
    }
    let mut swapped = lines.clone();
    swapped.swap(1, 2);
    assert_eq!(broken(&swapped.concat()).line, 2);
    let mut repeated = lines.clone();
    repeated.insert(2, lines[1].clone());
    assert_eq!(broken(&repeated.concat()).line, 3);
}

#[test]
fn a_log_cut_at_its_end_shows_by_its_count_alone() {
    let lines = lines();
    let verified = verify(&*lines[..3].concat()).unwrap();
    assert_eq!(verified.count, 3);
    assert_ne!(verified.last_hash, verify(&*log()).unwrap().last_hash);
}

#[test]
fn a_torn_last_line_is_no_tampering() {
    let log = log();
    let last = log.len() - lines()[4].len();
    for end in last + 1..log.len() {
        let broken = broken(&log[..end]);
        assert!(matches!(broken.why, Why::Torn), "{broken:?}");
        assert_eq!(
            (broken.line, broken.intact.count, broken.intact.length),
            (5, 4, last as u64)
        );
    }
    // The same in the middle is.
    let mut middle = lines();
    middle[2].truncate(40);
    assert!(!matches!(broken(&middle.concat()).why, Why::Torn));
}

#[test]
fn a_rewritten_rest_does_not_fit_to_what_stands_before() {
    let mut lines = lines();
    let mut forged = Chain::resume(2, Hash::START);
    for (index, record) in records().iter().enumerate().skip(2) {
        lines[index] = format!("{}\n", forged.append(record)).into_bytes();
    }
    let broken = broken(&lines.concat());
    assert_eq!(broken.line, 3);
    assert!(matches!(broken.why, Why::OutOfSequence));
}

#[test]
fn other_spellings_of_the_same_line_are_changes() {
    let line = String::from_utf8(lines()[0].clone()).unwrap();
    for changed in [
        line.replacen("\"seq\":1", "\"seq\":01", 1),
        line.replacen("\"seq\":1", "\"seq\": 1", 1),
        line.replacen('\n', "\r\n", 1),
        format!("\n{line}"),
        format!(" {line}"),
        line.to_uppercase(),
        line.replacen("\"count\":1", "\"count\":1,\"count\":2", 1),
    ] {
        assert!(verify(changed.as_bytes()).is_err(), "{changed}");
    }
}

#[test]
fn endless_lines_are_refused_without_being_read() {
    let mut log = vec![b'x'; LINE_LENGTH];
    log.push(b'\n');
    assert!(matches!(broken(&log).why, Why::TooLong));
    let fits = &log[1..];
    assert!(matches!(broken(fits).why, Why::OutOfSequence));
    assert!(matches!(broken(&vec![b'x'; 10 * LINE_LENGTH]).why, Why::TooLong));
}

#[test]
fn the_longest_record_fits_into_a_line() {
    let text = Text::new(&"\"\\".repeat(TEXT_LENGTH));
    let record = Record {
        at_unix_ms: u64::MAX,
        kind: Kind::SubscriptionPruned,
        layer: Some(Layer::Authorization),
        rule: Some(text.clone()),
        identity: Some(text.clone()),
        client_id: Some(text.clone()),
        peer: Some(text.clone()),
        topic: Some(text.clone()),
        manner: Some(Manner {
            act: Act::Many,
            qos: 2,
            retain: true,
        }),
        detail: text,
        count: u64::MAX,
    };
    let mut chain = Chain::resume(u64::MAX - 1, Hash::START);
    assert!(chain.append(&record).len() < LINE_LENGTH);
}

#[test]
fn dangerous_text_is_escaped() {
    assert_eq!(escape("toasters/a/telemetry"), "toasters/a/telemetry");
    assert_eq!(escape("a\nb\r\tc\0"), "a\\u{a}b\\u{d}\\u{9}c\\u{0}");
    assert_eq!(escape("\u{1b}[2J"), "\\u{1b}[2J");
    assert_eq!(escape("\u{9b}31m\u{7f}"), "\\u{9b}31m\\u{7f}");
    assert_eq!(escape("\u{202e}\u{2066}\u{200f}"), "\\u{202e}\\u{2066}\\u{200f}");
    assert_eq!(
        escape("\u{2028}\u{feff}\u{e0041}"),
        "\\u{2028}\\u{feff}\\u{e0041}"
    );
    assert_eq!(escape("k\u{fc}che"), "k\\u{fc}che");
}

#[test]
fn long_text_is_cut_and_says_how_much_is_missing() {
    let fits = "x".repeat(TEXT_LENGTH);
    assert_eq!(escape(&fits), fits);
    let cut = escape(&format!("{fits}x"));
    assert!(cut.len() <= TEXT_LENGTH);
    let kept = cut.chars().take_while(|&character| character == 'x').count();
    assert_eq!(
        cut,
        format!("{}[+{} bytes]", "x".repeat(kept), TEXT_LENGTH + 1 - kept)
    );
    let controls = escape(&"\u{1b}".repeat(70_000));
    assert!(controls.len() <= TEXT_LENGTH);
    assert!(controls.ends_with(" bytes]"));
}

#[test]
fn hashes_are_read_in_one_spelling() {
    let hash = verify(&*log()).unwrap().last_hash;
    let text = hash.to_string();
    assert_eq!(text.parse::<Hash>(), Ok(hash));
    for bad in [
        "",
        &text[1..],
        &format!("{text}0"),
        &text.to_uppercase(),
        &"g".repeat(64),
        &"\u{fc}".repeat(32),
    ] {
        assert!(bad.parse::<Hash>().is_err(), "{bad}");
    }
}

proptest! {
    /// The heart of it: no byte of a log can be changed, removed or added without being found.
    #[test]
    fn any_single_byte_edit_is_found(position in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let log = log();
        let position = position.index(log.len());
        let mut changed = log.clone();
        if changed[position] != byte {
            changed[position] = byte;
            prop_assert!(verify(&*changed).is_err());
        }
        let mut removed = log.clone();
        removed.remove(position);
        prop_assert!(verify(&*removed).is_err());
        let mut added = log.clone();
        added.insert(position, byte);
        prop_assert!(verify(&*added).is_err());
    }

    /// What is escaped is printable ASCII within the bound, and escaping it again changes nothing.
    #[test]
    fn escaped_text_is_safe(text in ".{0,700}") {
        let safe = escape(&text);
        prop_assert!(safe.len() <= TEXT_LENGTH);
        prop_assert!(safe.bytes().all(|byte| (b' '..=b'~').contains(&byte)));
        prop_assert_eq!(escape(&safe), safe);
    }

    /// Nothing in a text can end its line or reach out of its field.
    #[test]
    fn no_text_breaks_out_of_its_record(topic in ".{0,100}", detail in "[\"\\\\{},:\n]{0,50}") {
        let record = Record::new(Kind::Refused, at(0)).topic(topic.as_str()).detail(detail.as_str());
        let mut chain = Chain::new();
        let line = chain.append(&record);
        prop_assert!(!line.contains('\n'));
        let value: serde_json::Value = serde_json::from_str(&line).unwrap();
        prop_assert_eq!(&value["record"]["topic"], record.topic.as_ref().unwrap().as_str());
        prop_assert_eq!(verify(format!("{line}\n").as_bytes()).unwrap().count, 1);
    }
}

#[test]
fn every_byte_of_a_log_counts() {
    let log = log();
    for position in 0..log.len() {
        let mut changed = log.clone();
        changed[position] ^= 1;
        assert!(verify(&*changed).is_err(), "byte {position}");
    }
}
