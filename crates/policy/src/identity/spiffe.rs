//! The SPIFFE id of an identity.

use std::collections::BTreeMap;

use super::{Identity, IdentityError, Kind, SPIFFE_LENGTH};

/// The scheme is compared byte by byte: certificates are issued with the canonical spelling.
const SCHEME: &str = "spiffe://";

pub(super) fn format(identity: &Identity, fleet: &str) -> String {
    let mut uri = String::from(SCHEME);
    uri.push_str(fleet);
    let own = (identity.kind.as_str(), identity.id.as_str());
    let attributes = identity
        .attributes
        .iter()
        .map(|(key, value)| (key.as_str(), value.as_str()));
    for (key, value) in attributes.chain([own]) {
        for segment in [key, value] {
            uri.push('/');
            uri.push_str(segment);
        }
    }
    uri
}

pub(super) fn parse(uri: &str, fleet: &str) -> Result<Identity, IdentityError> {
    if uri.len() > SPIFFE_LENGTH {
        return Err(IdentityError::SpiffeTooLong { length: uri.len() });
    }
    let rest = uri.strip_prefix(SCHEME).ok_or(IdentityError::Scheme)?;
    for (mark, part) in [
        ('%', "percent-encoded character"),
        ('?', "query"),
        ('#', "fragment"),
    ] {
        if rest.contains(mark) {
            return Err(IdentityError::UriPart { part });
        }
    }
    let (authority, path) = rest.split_once('/').ok_or(IdentityError::Path)?;
    for (mark, part) in [('@', "user part"), (':', "port")] {
        if authority.contains(mark) {
            return Err(IdentityError::UriPart { part });
        }
    }
    if authority != fleet {
        return Err(IdentityError::TrustDomain {
            found: authority.to_owned(),
            expected: fleet.to_owned(),
        });
    }
    parse_path(path)
}

fn parse_path(path: &str) -> Result<Identity, IdentityError> {
    let mut attributes = BTreeMap::new();
    let mut segments = path.split('/');
    loop {
        let (Some(key), Some(value)) = (segments.next(), segments.next()) else {
            return Err(IdentityError::Path);
        };
        let kind = match key {
            "device" => Kind::Device,
            "service" => Kind::Service,
            _ => {
                if attributes.insert(key.to_owned(), value.to_owned()).is_some() {
                    return Err(IdentityError::DuplicateKey { key: key.to_owned() });
                }
                continue;
            }
        };
        // The id ends the path: what would follow cannot be told from a second identity.
        return match segments.next() {
            None => Identity::new(kind, value, attributes),
            Some(_) => Err(IdentityError::Path),
        };
    }
}
