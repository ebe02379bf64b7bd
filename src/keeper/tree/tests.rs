//! Trees of real processes.

use super::*;
use proptest::prelude::*;

const KEEPER: u32 = 1;
const DAEMON: u32 = 2;

#[derive(Default)]
struct Said {
    seen: Seen,
    tags: HashMap<u32, Tag>,
    tasks: HashMap<u32, String>,
}

impl Evidence for Said {
    fn seen(&self, process: &Process) -> Option<TaskKey> {
        self.seen.get(&(process.pid, process.start_ticks)).copied()
    }
    fn tag(&mut self, pid: u32) -> Option<Tag> {
        Some(self.tags.get(&pid).copied().unwrap_or(Tag::None))
    }
    fn task(&mut self, pid: u32) -> Option<String> {
        self.tasks.get(&pid).cloned()
    }
}

fn family() -> Family<'static> {
    Family { keeper: KEEPER, own: &[DAEMON], adopted: false }
}

fn process(pid: u32, ppid: u32, session: u32) -> Process {
    Process { pid, ppid, session, start_ticks: 0, alive: true }
}

fn mark(key: u64, pid: u32, main_lives: bool) -> Mark {
    let task = format!("app-{key:05x}").parse().unwrap();
    Mark { key: TaskKey(key), task, pid, main_lives, tag: 1000 + key, pinned: false }
}

fn owner_of(processes: &[Process], marks: &[Mark], said: &mut Said, pid: u32) -> Owner {
    let owners = attribute(processes, family(), marks, said);
    owners[processes.iter().position(|process| process.pid == pid).unwrap()]
}

#[test]
fn a_main_process_and_its_descendants_are_the_tasks() {
    let processes =
        [process(30, 20, 30), process(20, 10, 10), process(10, 1, 10), process(1, 0, 1)];
    for pid in [10, 20, 30] {
        let owner = owner_of(&processes, &[mark(5, 10, true)], &mut Said::default(), pid);
        assert_eq!(owner, Owner::Task(TaskKey(5)));
    }
}

#[test]
fn an_orphan_is_recognized_by_tag_session_or_variable_and_else_a_stray() {
    let processes =
        [process(20, 1, 20), process(21, 1, 10), process(22, 1, 22), process(23, 1, 23)];
    let mut said = Said::default();
    said.tags.insert(20, Tag::Whole(1005));
    said.tasks.insert(22, "app-00005".into());
    let marks = [mark(5, 10, false)];
    for pid in [20, 21, 22] {
        assert_eq!(owner_of(&processes, &marks, &mut said, pid), Owner::Task(TaskKey(5)), "{pid}");
    }
    assert_eq!(owner_of(&processes, &marks, &mut said, 23), Owner::Stray);
}

/// Three tasks, the last one behind the wall, and what an orphan with this tag is.
fn owner_by(tag: Tag, tasks: std::ops::RangeInclusive<u64>) -> Owner {
    let mut said = Said::default();
    said.tags.insert(20, tag);
    // An environment counts only where nothing can be marked.
    let marks: Vec<Mark> =
        tasks.map(|key| Mark { pinned: key == 7, ..mark(key, 10 * key as u32, false) }).collect();
    owner_of(&[process(20, 1, 20)], &marks, &mut said, 20)
}

#[test]
fn an_orphan_with_a_destroyed_mark_is_of_the_only_task_that_it_can_be_of() {
    let any = Tag::Broken { from: 0, to: u64::MAX };
    assert_eq!(owner_by(any, 5..=5), Owner::Task(TaskKey(5)));
    assert_eq!(owner_by(any, 5..=6), Owner::Unclear);
    assert_eq!(owner_by(any, 6..=7), Owner::Task(TaskKey(6)), "the other's cannot be destroyed");
    assert_eq!(owner_by(any, 7..=7), Owner::Task(TaskKey(7)), "another process did it");
    assert_eq!(owner_by(Tag::Broken { from: 1006, to: 1006 + 9 }, 5..=6), Owner::Task(TaskKey(6)));
    assert_eq!(owner_by(Tag::Broken { from: 0, to: 1005 }, 5..=6), Owner::Task(TaskKey(5)));
    assert_eq!(owner_by(Tag::Broken { from: 0, to: 9 }, 5..=6), Owner::Stray);
    assert_eq!(owner_by(Tag::None, 5..=6), Owner::Stray, "nobody's: never marked");
    assert_eq!(owner_by(Tag::Whole(1), 5..=6), Owner::Stray, "another keeper's");
}

#[test]
fn what_was_seen_to_be_a_tasks_stays_it_as_long_as_the_task_is_there() {
    let mut said = Said::default();
    said.tags.insert(20, Tag::Broken { from: 0, to: u64::MAX });
    said.seen.insert((20, 0), TaskKey(6));
    let marks = [mark(5, 10, false), mark(6, 11, false)];
    let owner = |marks: &[Mark], said: &mut Said| owner_of(&[process(20, 1, 20)], marks, said, 20);
    assert_eq!(owner(&marks, &mut said), Owner::Task(TaskKey(6)));
    assert_eq!(owner(&marks[..1], &mut said), Owner::Task(TaskKey(5)));
    said.seen = Seen::from([((20, 1), TaskKey(6))]);
    assert_eq!(owner(&marks, &mut said), Owner::Unclear, "another process of that number");
}

#[test]
fn descendants_of_an_orphan_belong_where_it_belongs() {
    let processes = [process(20, 1, 20), process(21, 20, 21), process(22, 21, 22)];
    let mut said = Said::default();
    said.tags.insert(20, Tag::Whole(1005));
    let marks = [mark(5, 10, false)];
    assert_eq!(owner_of(&processes, &marks, &mut said, 22), Owner::Task(TaskKey(5)));
}

#[test]
fn a_reused_pid_of_a_reaped_main_process_owns_nothing_by_ancestry() {
    let processes = [process(10, 2, 10), process(2, 1, 2), process(11, 10, 10)];
    let owner = owner_of(&processes, &[mark(5, 10, false)], &mut Said::default(), 11);
    assert_eq!(owner, Owner::Other, "it is the daemon's");
}

#[test]
fn the_daemon_its_children_and_the_rest_of_the_machine_are_nobodys() {
    let processes = [process(2, 1, 2), process(3, 2, 2), process(4, 0, 0), process(5, 4, 5)];
    let mut said = Said::default();
    said.tags.insert(3, Tag::Whole(1005));
    said.tags.insert(5, Tag::Whole(1005));
    for pid in [2, 3, 4, 5] {
        assert_eq!(owner_of(&processes, &[mark(5, 10, true)], &mut said, pid), Owner::Other);
    }
}

#[test]
fn a_loop_of_parents_ends() {
    let processes = [process(5, 6, 5), process(6, 5, 6)];
    assert_eq!(owner_of(&processes, &[], &mut Said::default(), 5), Owner::Other);
}

/// The rules once more, said recursively and slowly.
fn by_definition(
    pid: u32,
    processes: &[Process],
    marks: &[Mark],
    said: &mut Said,
    depth: usize,
) -> Owner {
    let Some(process) = processes.iter().find(|process| process.pid == pid) else {
        return Owner::Other;
    };
    if pid == KEEPER || pid == DAEMON || depth > processes.len() {
        return Owner::Other;
    }
    if let Some(mark) = marks.iter().find(|mark| mark.main_lives && mark.pid == pid) {
        return Owner::Task(mark.key);
    }
    let parents = if process.ppid == KEEPER {
        Owner::Stray
    } else {
        by_definition(process.ppid, processes, marks, said, depth + 1)
    };
    if parents != Owner::Stray {
        return parents;
    }
    let tag = said.tag(pid);
    let task = said.task(pid).filter(|_| tag == Some(Tag::None));
    let found = marks
        .iter()
        .rev()
        .find(|mark| mark.pid == process.session)
        .or_else(|| marks.iter().find(|mark| Some(Tag::Whole(mark.tag)) == tag))
        .or_else(|| marks.iter().find(|mark| Some(mark.task.to_string()) == task));
    found.map_or(Owner::Stray, |mark| Owner::Task(mark.key))
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..Default::default() })]
    /// Random forests in random order: pid n has a parent below n, so there are no loops.
    #[test]
    fn random_trees_are_attributed_by_the_rules(
        shape in prop::collection::vec((any::<prop::sample::Index>(), 0..6u32, 0..12u64, 0..12u64), 1..40),
        mains in prop::collection::vec((3..44u32, any::<bool>()), 0..6),
        rotation: prop::sample::Index,
    ) {
        let mut said = Said::default();
        let mut processes = vec![process(1, 0, 1), process(2, 1, 2)];
        for (at, (parent, session, tag, task)) in shape.iter().enumerate() {
            let pid = at as u32 + 3;
            processes.push(process(pid, parent.index(pid as usize) as u32, session + 3));
            said.tags.insert(pid, if *tag < 9 { Tag::Whole(1000 + tag) } else { Tag::None });
            said.tasks.insert(pid, format!("app-{task:05x}"));
        }
        let mut marks: Vec<Mark> = Vec::new();
        for (pid, lives) in mains {
            if marks.iter().all(|mark| mark.pid != pid) {
                marks.push(mark(marks.len() as u64, pid, lives));
            }
        }
        let turn = rotation.index(processes.len());
        processes.rotate_left(turn);
        let owners = attribute(&processes, family(), &marks, &mut said);
        for (process, owner) in processes.iter().zip(owners) {
            let expected = by_definition(process.pid, &processes, &marks, &mut said, 0);
            prop_assert_eq!(owner, expected, "pid {}", process.pid);
        }
    }
}
