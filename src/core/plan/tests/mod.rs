//! Plans of local programs, and what other modules' tests begin with.

mod case;
mod change;
mod command;
mod cookie;
mod desktop;
mod ephemeral;
mod isolation;
mod local;
mod place;
mod pod;
mod properties;
mod resources;
mod warm;
mod work;

use super::*;
pub(crate) use crate::samples::{app, container_app, facts, plan_of};

#[test]
fn a_plan_is_complete_and_says_why() {
    let mut app = app("xclock");
    app.local.env.insert("A".into(), "2".into());
    let launch = LaunchSpec { args: vec!["-update".into(), "1".into()], ..LaunchSpec::default() };
    let plan = plan(&app, &launch, &facts()).unwrap();
    let Work::Local(local) = plan.work else { panic!("{:?}", plan.work) };
    assert_eq!(plan.engine, EngineKind::Local);
    assert_eq!(local.argv, ["xclock", "-update", "1"]);
    let env: Vec<_> =
        local.env.iter().map(|var| format!("{}={} ({})", var.name, var.value, var.from)).collect();
    assert_eq!(
        env,
        [
            "A=2 (application)",
            "DISPLAY=:7 (display)",
            "HOME=/home/b (deskd's environment)",
            "XAUTHORITY=/run/deskd/Xauthority (display)",
        ]
    );
    assert_eq!(local.program.cwd.as_deref(), Some("/home/b"));
    assert!(plan.reasons.iter().any(|r| r.contains("tested with pixels")));
    let rejected: Vec<_> = plan.rejected.iter().map(|r| r.engine).collect();
    assert_eq!(rejected, [EngineKind::EphemeralContainer, EngineKind::PodApplication]);
}

#[test]
fn local_programs_get_nothing_that_turns_shared_memory_off() {
    let plan = plan_of(&app("x"));
    assert!(!plan.work.env().iter().any(|var| var.name.contains("MITSHM")));
}

#[test]
fn without_a_display_the_refusal_says_what_is_wrong_with_it() {
    let mut facts = facts();
    for (state, word) in [
        (EndpointState::NotListening, "nothing listens"),
        (EndpointState::Refused("no cookie".into()), "no cookie"),
        (EndpointState::Hanging, "hangs"),
    ] {
        facts.display.unix.state = state;
        let refusal = plan(&app("x"), &LaunchSpec::default(), &facts).unwrap_err();
        assert_eq!(refusal.code, UnplannableCode::DisplayUnavailable);
        assert!(refusal.sentence.contains(word), "{}", refusal.sentence);
        assert_eq!(refusal.rejected.len(), 3);
    }
    let mut headless = app("x");
    headless.needs_display = false;
    assert!(plan(&headless, &LaunchSpec::default(), &facts).is_ok());
}
