use proptest::prelude::*;

use super::*;

const FLEET: &str = "home";

fn attributes(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs
        .iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
        .collect()
}

fn device(id: &str, pairs: &[(&str, &str)]) -> Identity {
    Identity::new(Kind::Device, id, attributes(pairs)).unwrap()
}

#[test]
fn values_that_a_level_or_a_path_cannot_hold_are_refused() {
    for value in [
        "",
        "a/b",
        "+",
        "#",
        "a+",
        "a#",
        "$SYS",
        "$",
        "a b",
        "a\0",
        "\n",
        "\u{7f}",
        "\u{85}",
        "ü",
        "ａ",
        ".",
        "..",
        "%2f",
        "a%2Fb",
        "a:b",
        "a@b",
        "a?b",
        "a\\b",
        "{device}",
        "a\u{202e}b",
    ] {
        assert!(check_value(value).is_err(), "{value:?}");
        assert!(
            Identity::new(Kind::Device, value, BTreeMap::new()).is_err(),
            "{value:?}"
        );
        assert!(
            Identity::new(Kind::Device, "a", attributes(&[("site", value)])).is_err(),
            "{value:?}"
        );
        assert!(
            Identity::new(Kind::Device, "a", attributes(&[(value, "x")])).is_err(),
            "{value:?}"
        );
    }
    for value in [
        "a",
        "A-1_b.c",
        "...",
        "-",
        "_",
        "0",
        ".a",
        "__proto__",
        "constructor",
    ] {
        assert!(check_value(value).is_ok(), "{value:?}");
    }
}

#[test]
fn bounds_hold_at_the_limit_and_not_past_it() {
    assert!(check_value(&"a".repeat(VALUE_LENGTH)).is_ok());
    assert_eq!(
        check_value(&"a".repeat(VALUE_LENGTH + 1)),
        Err(ValueError::TooLong {
            length: VALUE_LENGTH + 1
        })
    );
    let many = |count: usize| {
        (0..count)
            .map(|index| (format!("k{index}"), "v".to_owned()))
            .collect()
    };
    assert!(Identity::new(Kind::Device, "a", many(ATTRIBUTES)).is_ok());
    assert_eq!(
        Identity::new(Kind::Device, "a", many(ATTRIBUTES + 1)),
        Err(IdentityError::TooManyAttributes {
            count: ATTRIBUTES + 1
        })
    );
    assert!(check_fleet(&"a".repeat(FLEET_LENGTH)).is_ok());
    assert!(check_fleet(&"a".repeat(FLEET_LENGTH + 1)).is_err());
    for fleet in [
        "",
        "Home",
        "a/b",
        "home:8883",
        "user@home",
        "hóme",
        "a b",
        ".",
        "..",
    ] {
        assert!(check_fleet(fleet).is_err(), "{fleet:?}");
    }
}

#[test]
fn the_longest_identity_fits_into_one_spiffe_id() {
    let long = |prefix: char, index: usize| {
        let tail = format!("{prefix}{index}");
        format!("{}{tail}", "x".repeat(VALUE_LENGTH - tail.len()))
    };
    let attributes = (0..ATTRIBUTES)
        .map(|index| (long('k', index), long('v', index)))
        .collect();
    let identity = Identity::new(Kind::Service, long('i', 0), attributes).unwrap();
    let fleet = "f".repeat(FLEET_LENGTH);
    let uri = identity.to_spiffe(&fleet);
    assert!(uri.len() <= SPIFFE_LENGTH);
    assert_eq!(Identity::from_spiffe(&uri, &fleet), Ok(identity));
}

#[test]
fn a_spiffe_id_names_attributes_kind_and_id() {
    let identity = device("toaster-1", &[("site", "kitchen"), ("group", "toaster")]);
    let uri = "spiffe://home/group/toaster/site/kitchen/device/toaster-1";
    assert_eq!(identity.to_spiffe(FLEET), uri);
    assert_eq!(Identity::from_spiffe(uri, FLEET), Ok(identity.clone()));
    // The order of attributes means nothing.
    let other = "spiffe://home/site/kitchen/group/toaster/device/toaster-1";
    assert_eq!(Identity::from_spiffe(other, FLEET), Ok(identity));
    let service = Identity::new(Kind::Service, "dashboard", BTreeMap::new()).unwrap();
    assert_eq!(
        Identity::from_spiffe("spiffe://home/service/dashboard", FLEET),
        Ok(service)
    );
}

#[test]
fn anything_else_is_no_identity() {
    let refused = [
        "",
        "home/device/a",
        "spiffe:/home/device/a",
        "SPIFFE://home/device/a",
        "https://home/device/a",
        " spiffe://home/device/a",
        "spiffe://",
        "spiffe://home",
        "spiffe://home/",
        "spiffe://home/device",
        "spiffe://home/device/",
        "spiffe://home//device/a",
        "spiffe://home/device//a",
        "spiffe://home/device/a/",
        "spiffe://home/device/a/b",
        "spiffe://home/device/a/site/b",
        "spiffe://home/device/a/device/b",
        "spiffe://home/service/a/device/b",
        "spiffe://home/site/device/a",
        "spiffe://home/site/x",
        "spiffe://home/site/x/y",
        "spiffe://home/site//device/a",
        "spiffe://home//x/device/a",
        "spiffe://home/site/x/site/y/device/a",
        "spiffe://home/site/x/site/x/device/a",
        "spiffe://home/./x/device/a",
        "spiffe://home/site/../device/a",
        "spiffe://home/device/.",
        "spiffe://home/device/..",
        "spiffe://home/device/%61",
        "spiffe://home/device/a%2Fb",
        "spiffe://home/device/a%00",
        "spiffe://home/device/a?x=1",
        "spiffe://home/device/a#x",
        "spiffe://home/device/+",
        "spiffe://home/device/$a",
        "spiffe://home/device/a b",
        "spiffe://home/device/a\n",
        "spiffe://home/device/ü",
        "spiffe://home:8883/device/a",
        "spiffe://user@home/device/a",
        "spiffe://user:word@home/device/a",
        "spiffe://other/device/a",
        "spiffe://Home/device/a",
        "spiffe://home.example/device/a",
        "spiffe:///device/a",
    ];
    for uri in refused {
        assert!(Identity::from_spiffe(uri, FLEET).is_err(), "{uri}");
    }
    let long = format!("spiffe://home/device/{}", "a".repeat(SPIFFE_LENGTH));
    assert_eq!(
        Identity::from_spiffe(&long, FLEET),
        Err(IdentityError::SpiffeTooLong { length: long.len() })
    );
}

#[test]
fn errors_name_the_rule_and_escape_what_the_peer_sent() {
    let shown = |uri: &str| Identity::from_spiffe(uri, FLEET).unwrap_err().to_string();
    assert_eq!(
        shown("spiffe://oth\u{1b}er/device/a"),
        r#"SPIFFE id of trust domain "oth\u{1b}er", this fleet is "home""#
    );
    assert_eq!(
        shown("spiffe://home:1/device/a"),
        "SPIFFE id has a port, which SPIFFE does not allow"
    );
    assert_eq!(
        shown("spiffe://home/site/x/site/y/device/a"),
        r#"attribute key "site" appears twice in the SPIFFE id, issue a certificate with one"#
    );
}

#[test]
fn reserved_keys_are_no_attributes() {
    for key in RESERVED_KEYS {
        let identity = Identity::new(Kind::Device, "a", attributes(&[(key, "b")]));
        assert_eq!(identity, Err(IdentityError::ReservedKey { key: key.to_owned() }));
    }
}

#[test]
fn placeholders_name_the_own_kind_and_the_attributes() {
    let identity = device("toaster-1", &[("site", "kitchen")]);
    assert_eq!(identity.variable("device"), Some("toaster-1"));
    assert_eq!(identity.variable("service"), None);
    assert_eq!(identity.variable("site"), Some("kitchen"));
    assert_eq!(identity.variable("id"), None);
}

#[test]
fn names_are_kind_and_id() {
    let name: IdentityName = "device/toaster-1".parse().unwrap();
    assert_eq!(name, device("toaster-1", &[("site", "kitchen")]).name());
    assert_eq!(name.to_string(), "device/toaster-1");
    for text in [
        "",
        "device",
        "device/",
        "toaster/x",
        "Device/x",
        "device/a/b",
        "/x",
        "device/+",
    ] {
        assert!(text.parse::<IdentityName>().is_err(), "{text}");
    }
}

proptest! {
    #[test]
    fn spiffe_ids_round_trip(
        id in "[a-zA-Z0-9_-][a-zA-Z0-9._-]{0,20}",
        attributes in prop::collection::btree_map("k[a-zA-Z0-9_-]{0,8}", "v[a-zA-Z0-9._-]{0,8}", 0..ATTRIBUTES),
        is_device in any::<bool>(),
    ) {
        let kind = if is_device { Kind::Device } else { Kind::Service };
        let identity = Identity::new(kind, id, attributes).unwrap();
        let uri = identity.to_spiffe(FLEET);
        prop_assert_eq!(Identity::from_spiffe(&uri, FLEET), Ok(identity));
    }

    #[test]
    fn any_text_is_an_identity_or_an_error(path in "(/[a-z.$+#%]{0,8}){0,8}", text in any::<String>()) {
        for uri in [format!("spiffe://home{path}"), text] {
            if let Ok(identity) = Identity::from_spiffe(&uri, FLEET) {
                // What was read is what would have been written, up to the order of attributes.
                prop_assert_eq!(identity.to_spiffe(FLEET).len(), uri.len());
                prop_assert_eq!(Identity::from_spiffe(&identity.to_spiffe(FLEET), FLEET), Ok(identity));
            }
        }
    }
}
