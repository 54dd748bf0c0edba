//! The Python module `motte._core`: everything Python may ask the Rust half for.
//!
//! Only glue stands here. Values go in, values or exceptions come out; no Python object is kept.
#![deny(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::unreachable
)]

mod error;
mod firmware;
mod load;
mod policy;
mod radius;
mod serve;
mod store;
mod toml;

use pyo3::pymodule;

/// For the Rust half alone; Python keeps its own. Many small buffers of many connections live and
/// die here, on several threads.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The Rust half of Motte: the data plane, the compiled policy and a TOML reader with positions.
#[pymodule]
mod _core {
    #[pymodule_export]
    use crate::error::{ServeError, SnapshotError, TomlError};
    #[pymodule_export]
    use crate::firmware::{Needles, curve_points};
    #[pymodule_export]
    use crate::load::run_load;
    #[pymodule_export]
    use crate::policy::{
        Decision, Snapshot, check_fleet, check_identity_value, check_topic_filter, check_topic_name,
        default_limits, filter_contains, filter_intersection, filter_matches, format_spiffe, parse_spiffe,
    };
    #[pymodule_export]
    use crate::radius::{Radius, RadiusFinding, RadiusHop, RadiusNumbers};
    #[pymodule_export]
    use crate::serve::serve;
    #[pymodule_export]
    use crate::store::{back_up_store, check_store, restore_store};
    #[pymodule_export]
    use crate::toml::{TomlValue, parse_toml};
}
