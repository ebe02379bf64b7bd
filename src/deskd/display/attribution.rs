//! Whose window is it: from the process that owns a window up its ancestors to a task. Pure.

/// An application has a shell script or two, a launcher and a sandbox above its window's process.
const ANCESTORS_MAX: usize = 64;

/// The task whose first process is `pid` or the nearest of its ancestors.
///
/// `parent_of` and `task_of` describe one moment; process numbers are reused, so a loop is
/// possible and ends at a limit.
pub fn owner<T>(
    pid: u32,
    parent_of: impl Fn(u32) -> Option<u32>,
    task_of: impl Fn(u32) -> Option<T>,
) -> Option<T> {
    std::iter::successors(Some(pid), |pid| parent_of(*pid))
        .take(ANCESTORS_MAX)
        .take_while(|pid| *pid > 1)
        .find_map(task_of)
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    fn find(tree: &[(u32, u32)], tasks: &[u32], pid: u32) -> Option<u32> {
        let parents: HashMap<_, _> = tree.iter().copied().collect();
        owner(pid, |pid| parents.get(&pid).copied(), |pid| tasks.contains(&pid).then_some(pid))
    }

    #[test]
    fn the_nearest_ancestor_that_is_a_task_owns_the_window() {
        let tree = [(50, 40), (40, 30), (30, 1)];
        assert_eq!(find(&tree, &[30, 40], 50), Some(40));
        assert_eq!(find(&tree, &[50, 40], 50), Some(50));
        assert_eq!(find(&tree, &[7], 50), None);
    }

    #[test]
    fn init_and_the_kernel_own_nothing() {
        assert_eq!(find(&[(50, 1), (1, 0)], &[1, 0], 50), None);
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..Default::default() })]

        #[test]
        fn any_process_table_comes_to_an_end(
            tree in proptest::collection::vec((0_u32..20, 0_u32..20), 0..30),
            tasks in proptest::collection::vec(0_u32..20, 0..4),
            pid in 0_u32..20,
        ) {
            if let Some(task) = find(&tree, &tasks, pid) {
                prop_assert!(tasks.contains(&task) && task > 1);
            }
        }
    }
}
