//! What holds for every launch on every desktop. The preconditions are stated here once more, from
//! the outside: what the world must be like, not what the checks look at.

use proptest::prelude::*;

use super::super::EngineKind::{EphemeralContainer, Local, PodApplication};
use super::super::facts::{ApiState, Graphical, ProgramPresence};
use super::super::{EngineKind, UnplannableCode};
use super::case::{COOKIE, Case, each_engine_once, said};
use crate::app::container::{AppPort, AppProbe, ContainerApp, EntryPoint, HostConfig, ShmNeed};
use crate::display::EndpointState;
use crate::policy::LocalApps;
use crate::shm::ShmVerdict;

/// Random choices, of which 0 is the one that breaks nothing; used up, all are 0.
struct Dice<'a>(std::slice::Iter<'a, u8>);

impl Dice<'_> {
    /// 0 mostly, else 1..`sides`.
    fn roll(&mut self, sides: u8) -> u8 {
        let roll = self.0.next().copied().unwrap_or(0);
        if roll < 216 { 0 } else { roll % sides }
    }

    fn bad(&mut self) -> bool {
        self.roll(2) == 1
    }
}

fn engine(roll: u8) -> Option<EngineKind> {
    [None, Some(Local), Some(EphemeralContainer), Some(PodApplication)][usize::from(roll)]
}

fn entrypoint(roll: u8) -> Option<EntryPoint> {
    [None, Some(EntryPoint::Image), Some(EntryPoint::Program)][usize::from(roll)]
}

fn port() -> AppPort {
    AppPort { name: None, port: 80, protocol: "TCP".into() }
}

/// A desktop on which some things are broken, and an app that needs some things.
fn world(rolls: &[u8]) -> Case {
    let mut dice = Dice(rolls.iter());
    let mut case = Case::new();
    desktop(&mut case, &mut dice);
    if dice.bad() {
        case.image = None;
    } else {
        image(&mut case, &mut dice);
    }
    case.launch.engine = engine(dice.roll(4));
    case.launch.args = match dice.roll(4) {
        0 => vec![],
        1 => vec!["--new".into()],
        2 => vec!["--new".into(), "a b".into()],
        _ => vec!["a b".into(), "--new".into()],
    };
    case
}

fn desktop(case: &mut Case, dice: &mut Dice<'_>) {
    let programs = [ProgramPresence::Absent, ProgramPresence::Present, ProgramPresence::Unknown];
    case.facts.program = programs[usize::from(dice.roll(3))];
    case.policy.local = match dice.roll(3) {
        0 => LocalApps::default(),
        1 => LocalApps::Only([case.app.id.clone()].into()),
        _ => LocalApps::All,
    };
    case.policy.entrypoint = entrypoint(dice.roll(3));
    case.policy.engines = match dice.roll(4) {
        0 => vec![EphemeralContainer, PodApplication],
        1 => vec![PodApplication],
        2 => vec![EphemeralContainer],
        _ => vec![],
    };
    let apis = [ApiState::Answers, ApiState::Unknown, ApiState::Away("a".into())];
    case.cluster.api = apis[usize::from(dice.roll(3))].clone();
    case.pod_known = !dice.bad();
    match dice.roll(4) {
        1 => case.denied(Some(EphemeralContainer)),
        2 => case.denied(Some(PodApplication)),
        3 => case.denied(None),
        _ => {}
    }
    case.facts.remote_tasks = if dice.bad() { 100 } else { 99 };
    if dice.bad() {
        case.facts.display.unix.state = EndpointState::Hanging;
    }
    if dice.bad() {
        case.facts.display.tcp.state = EndpointState::NotListening;
    }
    if dice.bad() {
        case.facts.display.shm.sysv = ShmVerdict::Refused;
    }
    case.facts.display.unix.abstract_socket = !dice.bad();
    case.facts.headroom.memory_bytes = [None, Some(1), Some(1 << 30)][usize::from(dice.roll(3))];
    case.facts.headroom.memory_pressure_centipercent = dice.bad().then_some(9000);
    if dice.bad() {
        case.pod.ip = None;
    }
    if dice.bad() {
        case.pod.target_container = None;
    }
    if dice.bad() {
        case.pod.mounts.clear();
    }
    if dice.bad() {
        case.pod.object_bytes = 3 << 19;
    }
    if dice.bad() {
        case.policy.run_as.uid = 1;
    }
    case.policy.xauthority_secret = dice.bad().then(|| "x11".into());
    case.facts.machine_mut().cookie = (!dice.bad()).then(|| COOKIE.into());
    case.policy.default_class =
        [None, Some("node"), Some("gone")][usize::from(dice.roll(3))].map(str::to_owned);
    if dice.bad() {
        case.quota("pods", "1", "1");
    }
    graphical(case, dice.roll(4));
}

/// The graphical container, and the cookie where it may be said a second time.
fn graphical(case: &mut Case, roll: u8) {
    let env = [("HOME", "/home/anna"), ("XAUTH_KEY", COOKIE), ("PULSE_SERVER", "unix:/run/p")];
    let env = env.into_iter().take(usize::from(roll));
    case.pod.graphical = (roll > 0).then(|| Graphical {
        name: "screen".into(),
        env: env.map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
        mounts: case.pod.mounts.clone(),
        ..Graphical::default()
    });
    if roll == 1 {
        case.pod.labels.insert("xauthkey".into(), COOKIE.into());
    }
}

fn image(case: &mut Case, dice: &mut Dice<'_>) {
    let classes = [None, Some("gold"), Some("plain"), Some("gone")];
    let class = classes[usize::from(dice.roll(4))].map(str::to_owned);
    let needs_display = !dice.bad();
    case.app.needs_display = needs_display;
    if dice.bad() {
        case.facts.unique_keys.insert("k".into(), "t-00001".into());
    }
    let image = case.image();
    image.execute_class = class;
    image.engine = engine(dice.roll(4));
    image.unique_run_key = dice.bad().then(|| "k".into());
    if dice.bad() {
        image.access.deny = vec!["all".into()];
    }
    if dice.bad() {
        image.shm = ShmNeed::Required;
    }
    if dice.bad() {
        image.ports = vec![port()];
    }
    image.probe = dice.bad().then_some(AppProbe::Tcp { port: 1 });
    image.network_rules =
        [vec![], vec!["data".into()], vec!["gone".into()]][usize::from(dice.roll(3))].clone();
    if dice.bad() {
        image.architecture = Some("arm64".into());
    }
    image.secrets =
        [vec![], vec!["krb".into()], vec!["gone".into()]][usize::from(dice.roll(3))].clone();
    if dice.bad() {
        image.program.clear();
    }
    if dice.bad() {
        image.image_command = vec!["/start.sh".into()];
    }
    image.entrypoint = entrypoint(dice.roll(3));
    if dice.bad() {
        image.host_config.memory_bytes = Some(1 << 40);
    }
    if dice.bad() {
        image.host_config = HostConfig { shm_bytes: Some(1 << 30), ..image.host_config.clone() };
    }
}

/// The class that holds for it.
fn class(case: &Case) -> Option<&str> {
    let image = case.image.as_ref()?;
    let insisted = case.launch.engine.or(image.engine);
    let for_pods = insisted.is_none_or(|engine| engine == PodApplication);
    let default = case.policy.default_class.as_deref().filter(|_| for_pods);
    image.execute_class.as_deref().or(default)
}

fn needs_a_pod(case: &Case) -> bool {
    let Some(image) = &case.image else { return false };
    class(case).is_some_and(|name| name != "plain")
        || !image.ports.is_empty()
        || image.probe.is_some()
        || !image.network_rules.is_empty()
}

/// Whether its arguments reach its program.
fn arguments_arrive(case: &Case, image: &ContainerApp) -> bool {
    let asked = case.policy.entrypoint.or(image.entrypoint);
    let by_document =
        if image.image_command.is_empty() { EntryPoint::Program } else { EntryPoint::Image };
    match (asked.unwrap_or(by_document), image.program.is_empty()) {
        (EntryPoint::Program, false) => true,
        // As ARGS, which are split at blanks, and the last one as APPARGS.
        (EntryPoint::Image, false) => case.launch.args.first().is_none_or(|arg| arg != "a b"),
        (_, true) => !image.image_command.is_empty() || case.launch.args.is_empty(),
    }
}

/// Whether the engine could do it.
fn possible(case: &Case, engine: EngineKind) -> bool {
    let draws = case.app.needs_display;
    let display = !draws || case.facts.display.unix.state == EndpointState::Answering;
    let shm_required =
        draws && case.image.as_ref().is_some_and(|image| image.shm == ShmNeed::Required);
    let shm = !shm_required || case.facts.display.shm.sysv == ShmVerdict::Works;
    let secrets = case.image.as_ref().is_none_or(|image| {
        let mounted = case.pod_known && !case.pod.mounts.is_empty();
        image.secrets.iter().all(|secret| secret == "krb" && mounted)
    });
    let remote = case.image.as_ref().is_some_and(|image| {
        let denied = case.cluster.rights.iter().any(|right| right.engine == Some(engine));
        case.policy.engines.contains(&engine)
            && case.cluster.api == ApiState::Answers
            && case.pod_known
            && !denied
            && case.facts.remote_tasks < 100
            && arguments_arrive(case, image)
    });
    if !display || !secrets {
        return false;
    }
    match engine {
        Local => {
            let here = match case.facts.program {
                ProgramPresence::Present => true,
                ProgramPresence::Unknown => case.image.is_none(),
                ProgramPresence::Absent => false,
            };
            // Out of its image only with the operator's leave, whoever insists.
            let permitted = case.image.is_none() || case.policy.local != LocalApps::default();
            here && permitted && shm && !needs_a_pod(case)
        }
        EphemeralContainer => {
            let this_machine =
                case.image.as_ref().is_some_and(|i| i.architecture.as_deref() == Some("amd64"));
            let drawing = !draws
                || case.policy.run_as.uid == case.facts.machine.uid
                    && (case.facts.display.unix.abstract_socket || !case.pod.mounts.is_empty());
            let room = case.pod.target_container.is_some() && case.pod.object_bytes < 1 << 20;
            remote && shm && room && this_machine && drawing && !needs_a_pod(case)
        }
        PodApplication => {
            let tcp = case.facts.display.tcp.state == EndpointState::Answering;
            let network = !draws || tcp && case.pod.ip.is_some();
            let known = class(case) != Some("gone")
                && case.image.as_ref().is_some_and(|i| !i.network_rules.contains(&"gone".into()));
            remote && network && known && !shm_required && case.cluster.quotas.is_empty()
        }
    }
}

fn scarce(case: &Case) -> bool {
    case.facts.headroom.memory_bytes == Some(1)
        || case.facts.headroom.memory_pressure_centipercent.is_some()
}

/// Refused before engines are asked.
fn not_admitted(case: &Case) -> bool {
    case.image.as_ref().is_some_and(|image| {
        let taken = !case.facts.unique_keys.is_empty();
        !image.access.deny.is_empty() || image.unique_run_key.is_some() && taken
    })
}

/// Each way to need more, where it is more: a class in place of another is something else.
fn stricter(case: &Case) -> Vec<Case> {
    let Some(image) = &case.image else { return Vec::new() };
    let mut all = Vec::new();
    let mut with = |change: fn(&mut Case)| {
        let mut more = case.clone();
        change(&mut more);
        all.push(more);
    };
    with(|c| c.image().ports.push(port()));
    with(|c| c.image().probe = Some(AppProbe::Tcp { port: 2 }));
    with(|c| c.image().network_rules.push("data".into()));
    if image.execute_class.is_none() && case.policy.default_class.is_none() {
        with(|c| c.image().execute_class = Some("gold".into()));
    }
    // With scarce memory a pod may be preferred, which does not have the shared memory that this
    // pod's engines have.
    if !scarce(case) {
        with(|c| c.image().shm = ShmNeed::Required);
    }
    all
}

proptest! {
    #![proptest_config(ProptestConfig {
        failure_persistence: None, cases: 2048, ..Default::default()
    })]

    #[test]
    fn the_engine_is_chosen_exactly_when_it_can_work(rolls in prop::collection::vec(any::<u8>(), 60)) {
        let case = world(&rolls);
        let result = case.plan();
        let insisted = case.launch.engine.or(case.image.as_ref().and_then(|image| image.engine));
        let order = if scarce(&case) {
            [EphemeralContainer, PodApplication, Local]
        } else {
            EngineKind::ALL
        };
        let expected = order
            .into_iter()
            .filter(|engine| insisted.is_none_or(|insisted| insisted == *engine))
            .find(|engine| !not_admitted(&case) && possible(&case, *engine));
        prop_assert_eq!(result.as_ref().ok().map(|plan| plan.engine), expected, "{:#?}", result);
        if let Ok(plan) = &result {
            prop_assert!(!plan.reasons.is_empty());
            let work = serde_json::to_value(&plan.work).unwrap();
            prop_assert!(work.get(plan.engine.as_str()).is_some());
        }
    }

    #[test]
    fn the_same_facts_give_the_same_plan_and_each_engine_is_spoken_of_once(
        rolls in prop::collection::vec(any::<u8>(), 60),
    ) {
        let case = world(&rolls);
        let result = case.plan();
        prop_assert_eq!(&result, &case.plan());
        each_engine_once(&result);
    }

    #[test]
    fn a_stricter_need_never_leads_to_a_weaker_engine(
        rolls in prop::collection::vec(any::<u8>(), 60),
    ) {
        let case = world(&rolls);
        let before = case.plan();
        for more in stricter(&case) {
            let Ok(after) = more.plan() else { continue };
            let before = before.as_ref().map(|plan| plan.engine).map_err(|refusal| refusal.code);
            prop_assert!(before.is_ok_and(|before| before <= after.engine), "{:?}", before);
        }
    }

    #[test]
    fn the_cookie_is_in_the_environment_or_nowhere(
        rolls in prop::collection::vec(any::<u8>(), 60),
    ) {
        let case = world(&rolls);
        let result = case.plan();
        prop_assert!(!said(&result).contains(COOKIE));
        if let Ok(mut plan) = result {
            plan.work.env_mut().clear();
            prop_assert!(!serde_json::to_string(&plan).unwrap().contains(COOKIE));
        }
    }

    #[test]
    fn only_what_can_change_has_a_code_of_its_own(rolls in prop::collection::vec(any::<u8>(), 60)) {
        let case = world(&rolls);
        let Err(refusal) = case.plan() else { return Ok(()) };
        prop_assert!(refusal.sentence.starts_with("2048 "), "{}", refusal.sentence);
        let holds = match refusal.code {
            UnplannableCode::DisplayUnavailable => !case.facts.display.answers(),
            UnplannableCode::NoCommand => case.image.is_none() && case.app.local.command.is_empty(),
            UnplannableCode::NotPermitted | UnplannableCode::AlreadyRunning => not_admitted(&case),
            UnplannableCode::TooManyRemoteTasks => case.facts.remote_tasks >= 100,
            UnplannableCode::DisplayNotOnNetwork => {
                !case.facts.display.tcp.state.answers() || case.pod.ip.is_none()
            }
            UnplannableCode::KubernetesUnavailable => {
                case.cluster.api != ApiState::Answers || !case.pod_known
            }
            UnplannableCode::RightMissing => !case.cluster.rights.is_empty(),
            UnplannableCode::CannotBePlaced => true,
        };
        prop_assert!(holds, "{:?}: {}", refusal.code, refusal.sentence);
    }
}
