//! Whose window is it: from the process that owns a window up its ancestors, among which the first
//! process of a task may be. Pure.

/// An application has a shell script or two, a launcher and a sandbox above its window's process.
const ANCESTORS_MAX: usize = 64;

/// `pid`, its parent, and so on, without the first process and the kernel.
///
/// `parent_of` describes one moment; process numbers are reused, so a loop is possible and ends at a
/// limit.
pub fn ancestors(pid: u32, parent_of: impl Fn(u32) -> Option<u32>) -> Vec<u32> {
    std::iter::successors(Some(pid), |pid| parent_of(*pid))
        .take(ANCESTORS_MAX)
        .take_while(|pid| *pid > 1)
        .collect()
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    fn find(tree: &[(u32, u32)], pid: u32) -> Vec<u32> {
        let parents: HashMap<_, _> = tree.iter().copied().collect();
        ancestors(pid, |pid| parents.get(&pid).copied())
    }

    #[test]
    fn the_nearest_ancestor_is_the_first() {
        assert_eq!(find(&[(50, 40), (40, 30), (30, 1)], 50), [50, 40, 30]);
        assert_eq!(find(&[], 50), [50]);
    }

    #[test]
    fn init_and_the_kernel_own_nothing() {
        assert_eq!(find(&[(50, 1), (1, 0)], 50), [50]);
        assert!(find(&[], 1).is_empty());
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..Default::default() })]

        #[test]
        fn any_process_table_comes_to_an_end(
            tree in proptest::collection::vec((0_u32..20, 0_u32..20), 0..30),
            pid in 0_u32..20,
        ) {
            let found = find(&tree, pid);
            prop_assert!(found.len() <= ANCESTORS_MAX);
            prop_assert!(found.iter().all(|pid| *pid > 1));
        }
    }
}
