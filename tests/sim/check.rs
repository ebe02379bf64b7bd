//! The invariants.

use deskd_core::id::TaskId;
use deskd_core::plan::EngineKind;
use deskd_core::task::{Exit, Task, TaskState};
use deskd_core::why::reason::{LostReason, RefusalReason};
use deskd_core::wire::RunId;

use crate::cluster::Phase;
use crate::oracle::Place;
use crate::places::is_place;
use crate::world::World;

/// After every step. What needs nothing but the moment: the oracle looks at starts and answers when
/// they happen.
pub fn always(world: &mut World) {
    let Some(daemon) = &world.daemon else { return };
    let mut found = None;
    for entry in daemon.runs.table().iter() {
        let task = &entry.task;
        if task.state == TaskState::Ended && (task.exit.is_none() || task.ended_at.is_none()) {
            found = Some(format!("{} ended and nobody knows how or when", task.id));
        }
        if task.state == TaskState::Running && task.started_at.is_none() {
            found = Some(format!("{} runs since never", task.id));
        }
        let planned = task.state == TaskState::Planned;
        if planned && daemon.runs.keeper_connected() && daemon.runs.due().is_none() {
            found = Some(format!("{} waits for a restart that is not due", task.id));
        }
    }
    let places = &daemon.engine.places;
    if places.warm() > 1 {
        found = Some(format!("{} places are ready, and one was wanted", places.warm()));
    }
    // One that ended unused is not made again: its entry stays in the pod.
    if places.warm_made > 1 + places.used {
        found = Some(format!("{} places were made that nobody asked for", places.warm_made));
    }
    if let Some(found) = found {
        world.oracle.violated(found);
    }
}

/// Once nothing happens any more: what is said is what is the case, and nothing is left half.
pub fn settled(world: &mut World) {
    let Some(daemon) = &world.daemon else {
        return world.oracle.violated("no daemon although nothing is wrong");
    };
    let mut found = Vec::new();
    if daemon.engine.places.wanted.is_none() && !daemon.runs.draining() {
        found.push("nobody told the engine which places are to be ready".to_owned());
    }
    let waiting: Vec<_> = daemon.waiting.values().collect();
    if !waiting.is_empty() {
        found.push(format!("requests without an answer: {waiting:?}"));
    }
    let table = daemon.runs.table();
    for id in &world.oracle.launched {
        if table.get(id).is_none() && !world.oracle.unrecorded.contains(id) {
            found.push(format!("{id} was launched, not removed, and is not there"));
        }
    }
    for entry in table.iter() {
        found.extend(wrong(world, entry));
    }
    for (id, kept) in &world.keeper.tasks {
        let known = table.get(id).is_some_and(|entry| entry.task.runs == kept.id.run);
        if kept.end.is_none() && !known {
            found.push(format!("{id} run {} is alive and not in the table", kept.id.run));
        }
    }
    for (id, kept) in &world.keeper.tasks {
        if table.get(id).is_none() && !kept.is_forgotten() {
            found.push(format!("{id} is removed, and the keeper keeps it"));
        }
    }
    let unknown = |id: &&TaskId| table.get(id).is_none() && !world.oracle.unrecorded.contains(*id);
    for id in world.keeper.logs.iter().filter(unknown) {
        found.push(format!("{id} is removed, and its output is kept"));
    }
    for kept in world.cluster.hosts.keepers.values().flat_map(|keeper| keeper.tasks.values()) {
        let RunId { task: id, run } = &kept.id;
        let known = table.get(id).is_some_and(|entry| entry.task.runs == *run);
        if kept.end.is_none() && !known {
            found.push(format!("{id} run {run} is alive at a place and not in the table"));
        }
        if unknown(&id) && !kept.is_forgotten() {
            found.push(format!("{id} is removed, and the keeper of its place keeps it"));
        }
    }
    for (run, it) in &world.cluster.objects {
        if is_place(run) {
            continue;
        }
        let known = table.get(&run.task).is_some_and(|entry| entry.task.runs == run.run);
        // Somebody removed it, and it stays away.
        let known = known || daemon.runs.hidden().contains_key(&run.task);
        if matches!(it.phase, Phase::Running { .. }) && !known {
            found
                .push(format!("{} run {} is alive in the cluster and nobody's", run.task, run.run));
        }
        // The entry of a container stays; a pod is in the way of others.
        if it.engine == EngineKind::PodApplication && !known && it.found.is_none() {
            found.push(format!("{} run {} is over, and its pod is left", run.task, run.run));
        }
    }
    found.extend(on_record(world));
    if let Some(first) = found.into_iter().next() {
        world.oracle.violated(first);
    }
}

/// What is wrong with what is said of a task.
fn wrong(world: &World, entry: &deskd_core::run::Entry) -> Option<String> {
    let task = &entry.task;
    let run = RunId { task: task.id.clone(), run: task.runs };
    let truth = world.oracle.runs.get(&run).cloned().unwrap_or_default();
    let say = |what: &str| Some(format!("{} run {}: {what}", run.task, run.run));
    // One at a place that is not there yet waits for that.
    let place = world.daemon.as_ref().and_then(|daemon| daemon.engine.place_of(&run));
    let in_cluster = world.cluster.objects.get(place.as_ref().unwrap_or(&run));
    match task.state {
        TaskState::Stopping => say("its stop does not end"),
        TaskState::Starting if !task.engine.is_in_cluster() => say("its start does not end"),
        TaskState::Starting => match in_cluster.map(|it| &it.phase) {
            Some(Phase::Pending) => None,
            other => say(&format!("it is starting, and in the cluster it is {other:?}")),
        },
        TaskState::Running if !truth.alive => say("it does not run"),
        TaskState::Ended if truth.alive => say("it has ended, and is alive"),
        TaskState::Ended if runs_again(task) && !world.oracle.shut_down_with.contains(&task.id) => {
            say("it is to run again, and does not")
        }
        TaskState::Ended
            if is_lost(task)
                && !world.oracle.restarted_with.contains(&task.id)
                && !world.oracle.unrecorded.contains(&task.id) =>
        {
            say("it was lost with deskd's container, which was not restarted")
        }
        TaskState::Ended if matches!(truth.place, Some(Place::Keeper | Place::FarKeeper)) => {
            match (&truth.exit, &task.exit) {
                (Some(real), Some(told)) if real != told && !given_up(told) => {
                    say(&format!("it ended with {real:?}, not {told:?}"))
                }
                _ if task.leftovers && truth.place == Some(Place::FarKeeper) => {
                    say("its output is read to the end, and it is not over")
                }
                _ if task.leftovers
                    && world.keeper.tasks.get(&run.task).is_none_or(|it| it.tree_gone) =>
                {
                    say("nothing of it is left, and it has leftovers")
                }
                _ => None,
            }
        }
        TaskState::Ended if task.leftovers => {
            say("its output is read to the end, and it is not over")
        }
        _ => None,
    }
}

/// Its policy wants another run: nobody stopped it, and it is known how it ended.
fn runs_again(task: &Task) -> bool {
    let Some(exit) = &task.exit else { return false };
    !task.stop_asked && !given_up(exit) && task.restart.wants_restart(exit.is_failure())
}

fn is_lost(task: &Task) -> bool {
    let restarted = |lost: &LostReason| match lost {
        LostReason::KeeperRestarted => true,
        LostReason::NotStarted(why) => {
            matches!(why.reason, RefusalReason::Lost(LostReason::KeeperRestarted))
        }
        _ => false,
    };
    matches!(&task.exit, Some(Exit::Lost(lost)) if restarted(lost))
}

/// Of a run whose keeper or record was lost nobody knows how it ended.
fn given_up(exit: &Exit) -> bool {
    matches!(exit, Exit::Lost(_))
}

/// A daemon that came now would know what this one knows.
fn on_record(world: &World) -> Option<String> {
    let daemon = world.daemon.as_ref()?;
    let remembered = world.disk.read();
    for entry in daemon.runs.table().iter() {
        let id = &entry.task.id;
        if daemon.unrecorded.contains(id) {
            continue;
        }
        let found = remembered.tasks.iter().find(|it| it.task.id == *id);
        let same = found.is_some_and(|it| {
            it.task.state == entry.task.state
                && it.task.runs == entry.task.runs
                && it.task.exit == entry.task.exit
                && it.grace_s == entry.grace_s
        });
        if !same {
            let found = found.map(|it| (it.task.state, it.task.runs));
            let told = (entry.task.state, entry.task.runs);
            return Some(format!("{id} is {told:?} and on record as {found:?}"));
        }
    }
    let gone = |it: &&deskd_core::run::Entry| daemon.runs.table().get(&it.task.id).is_none();
    let lost = remembered.tasks.iter().find(gone).map(|it| it.task.id.clone());
    lost.filter(|id| !world.oracle.unrecorded.contains(id))
        .map(|id| format!("{id} is removed and still on record"))
}
