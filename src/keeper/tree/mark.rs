//! The mark of a run's processes: two resource limits that mean nothing to the kernel.
//!
//! `RLIMIT_LOCKS` and `RLIMIT_RSS` did something in Linux 2.4 alone (getrlimit(2)). They are inherited
//! over fork, exec and setsid, everybody can read them, and a process without `CAP_SYS_RESOURCE` can
//! only lower the hard ones. One has the run's number, which grows from run to run, the other what is
//! missing to a constant. To look like another run, one of the two would have to be raised: so **a
//! mark can be destroyed, and never made into another**. Behind the wall it cannot be destroyed either
//! ([`crate::wall`]). What is left of a destroyed mark says between which runs it was made.

use nix::sys::resource::Resource;

/// The limits, in the order of [`mark_of`].
pub const MARK_LIMITS: [Resource; 2] = [Resource::RLIMIT_RSS, Resource::RLIMIT_LOCKS];
/// Their names in `/proc/PID/limits`.
pub(super) const LIMIT_NAMES: [&str; 2] = ["Max resident set", "Max file locks"];

/// Both limits of a mark together.
const TOGETHER: u64 = 1 << 62;
/// No tag is larger.
const TAG_MAX: u64 = (1 << 61) - 1;

/// Whether a process with these hard limits can be marked: otherwise nobody is.
pub(super) fn can_be_marked(own: [u64; 2]) -> bool {
    own[0] >= TOGETHER && own[1] > TAG_MAX
}

/// The limits, soft and hard, of the processes of the run with this tag.
#[must_use]
pub fn mark_of(tag: u64) -> [u64; 2] {
    [TOGETHER - tag, tag]
}

/// What the hard limits of a process say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tag {
    /// It descends from no run of this keeper: they are as the keeper's own, which no marked process
    /// can make them again.
    None,
    /// Of the run with this tag, or of one that another keeper knows.
    Whole(u64),
    /// Somebody lowered one of them: of a run whose tag is in this range.
    Broken {
        /// Smallest.
        from: u64,
        /// Largest.
        to: u64,
    },
}

impl Tag {
    /// Reads hard limits, in the order of [`MARK_LIMITS`]; `own` are the keeper's.
    #[must_use]
    pub fn of(limits: [u64; 2], own: [u64; 2]) -> Self {
        let [rss, locks] = limits;
        if rss.checked_add(locks) == Some(TOGETHER) {
            Self::Whole(locks)
        } else if rss >= own[0].min(TOGETHER) || locks >= own[1].min(TOGETHER) {
            Self::None
        } else {
            Self::Broken { from: locks, to: TOGETHER.saturating_sub(rss) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const UNLIMITED: [u64; 2] = [u64::MAX; 2];

    #[test]
    fn limits_as_the_keeper_has_them_are_no_mark() {
        assert_eq!(Tag::of(UNLIMITED, UNLIMITED), Tag::None);
        assert_eq!(Tag::of([5, u64::MAX], UNLIMITED), Tag::None, "somebody's own ulimit");
        assert_eq!(Tag::of([5, 6], [5, 6]), Tag::None);
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..Default::default() })]
        /// Whatever a program does, its mark is not taken for another one.
        #[test]
        fn a_lowered_mark_is_broken_and_its_range_has_the_tag(
            tag in (1_u64 << 60)..(1 << 61), less in any::<[u64; 2]>(),
        ) {
            let made = mark_of(tag);
            prop_assert_eq!(Tag::of(made, UNLIMITED), Tag::Whole(tag));
            let lowered = [made[0] - less[0] % made[0], made[1] - less[1] % made[1]];
            match Tag::of(lowered, UNLIMITED) {
                Tag::Whole(found) => prop_assert_eq!((found, lowered), (tag, made)),
                Tag::Broken { from, to } => prop_assert!((from..=to).contains(&tag)),
                Tag::None => prop_assert!(false, "it descends from a run"),
            }
        }
    }
}
