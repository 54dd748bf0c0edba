//! The proof that the guard was asked.

use motte_policy::RuleReference;

/// A passed check. Engines take permits, and only the guard makes them.
///
/// There is no constructor outside this crate, no `Default`, no `Clone` (one check, one effect) and no
/// way to put another action into an existing permit:
///
/// ```compile_fail,E0451
/// use motte_guard::Permit;
/// let forged = Permit { action: "publish", generation: 1, rule: None };
/// ```
///
/// ```compile_fail,E0624
/// use motte_guard::Permit;
/// let forged = Permit::grant("publish", 1, None);
/// ```
///
/// ```compile_fail,E0599
/// use motte_guard::Permit;
/// fn twice(permit: Permit<()>) -> (Permit<()>, Permit<()>) {
///     (permit.clone(), permit)
/// }
/// ```
///
/// The same code without the forgery compiles, so the tests above fail for the reason they state:
///
/// ```
/// use motte_guard::Permit;
/// fn once(permit: Permit<&str>) -> (u64, &str) {
///     (permit.generation(), permit.into_action())
/// }
/// ```
#[derive(Debug)]
#[must_use = "a permit that is not handed to an engine permits nothing"]
pub struct Permit<A> {
    action: A,
    generation: u64,
    rule: Option<RuleReference>,
}

impl<A> Permit<A> {
    /// The one constructor. It stays private to the crate.
    pub(crate) const fn grant(action: A, generation: u64, rule: Option<RuleReference>) -> Self {
        Self {
            action,
            generation,
            rule,
        }
    }

    /// What is permitted.
    #[must_use]
    pub const fn action(&self) -> &A {
        &self.action
    }

    /// What is permitted, to be carried out.
    #[must_use]
    pub fn into_action(self) -> A {
        self.action
    }

    /// The generation of the policy that permitted it.
    #[must_use]
    pub const fn generation(&self) -> u64 {
        self.generation
    }

    /// The rule of the policy that permitted it, where one had to.
    #[must_use]
    pub const fn rule(&self) -> Option<&RuleReference> {
        self.rule.as_ref()
    }
}
