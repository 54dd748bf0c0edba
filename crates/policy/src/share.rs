//! Shared subscriptions, `$share/<group>/<filter>`: a group divides the messages of a filter (MQTT 5.0,
//! section 4.8.2).

/// The first level of a shared subscription. No topic has it.
pub const SHARE_LEVEL: &str = "$share";

/// The parts of a shared subscription.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shared<'a> {
    /// The share name: who has it takes messages away from the others that have it.
    pub group: &'a str,
    /// The topic filter that the group divides.
    pub filter: &'a str,
}

impl<'a> Shared<'a> {
    /// Takes a topic filter apart that begins with `$share`; `None` for every other filter.
    ///
    /// # Errors
    /// The filter begins like a shared subscription and is none.
    pub fn parse(filter: &'a str) -> Result<Option<Self>, ShareError> {
        let mut parts = filter.splitn(3, '/');
        if parts.next() != Some(SHARE_LEVEL) {
            return Ok(None);
        }
        let (Some(group), Some(filter)) = (parts.next(), parts.next()) else {
            return Err(ShareError);
        };
        let is_name = !group.is_empty() && !group.contains(['+', '#']);
        // A group of a group would be a way around the name of the second one.
        let is_filter = !filter.is_empty() && filter.split('/').next() != Some(SHARE_LEVEL);
        if is_name && is_filter {
            Ok(Some(Self { group, filter }))
        } else {
            Err(ShareError)
        }
    }
}

/// A filter begins with `$share` and is no shared subscription.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a shared subscription is `$share/GROUP/FILTER`, its group without `+` and `#`")]
pub struct ShareError;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shared_subscription_has_a_group_and_a_filter() {
        for (filter, group, inner) in [
            ("$share/g/a/b", "g", "a/b"),
            ("$share/g/#", "g", "#"),
            ("$share/g//a", "g", "/a"),
            ("$share/ /+", " ", "+"),
            ("$share/$share/a", "$share", "a"),
        ] {
            let shared = Shared { group, filter: inner };
            assert_eq!(Shared::parse(filter), Ok(Some(shared)), "{filter}");
        }
    }

    #[test]
    fn what_only_begins_like_one_is_an_error() {
        for filter in [
            "$share",
            "$share/",
            "$share/g",
            "$share/g/",
            "$share//a",
            "$share/+/a",
            "$share/#/a",
            "$share/g+/a",
            "$share///////",
            "$share/g/$share/h/a",
        ] {
            assert_eq!(Shared::parse(filter), Err(ShareError), "{filter}");
        }
    }

    #[test]
    fn other_filters_are_none() {
        for filter in [
            "",
            "a",
            "$shared/g/a",
            "$SHARE/g/a",
            "a/$share/g",
            "/$share/g/a",
            "#",
        ] {
            assert_eq!(Shared::parse(filter), Ok(None), "{filter}");
        }
    }
}
