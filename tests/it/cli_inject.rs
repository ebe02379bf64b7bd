//! `deskd inject` as a program: what goes to which stream, and how bad input ends.

use assert_cmd::Command;
use deskd_core::exit::Exit;

const FIXTURE: &str = concat!(env!("DESKD_ROOT"), "/tests/fixtures/abcdesktop/desktop-pod.yaml");

/// Exit code, standard output, standard error.
fn inject(arguments: &[&str], input: &str) -> (i32, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_deskd"));
    let output = command.arg("inject").args(arguments).write_stdin(input).output().expect("deskd");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let code = output.status.code().expect("an exit code");
    (code, text(&output.stdout), text(&output.stderr))
}

#[test]
fn the_manifest_is_printed_and_what_was_assumed_is_told_beside_it() {
    let (code, manifest, told) = inject(&["-f", FIXTURE], "");
    assert_eq!(code, Exit::Ok as i32);
    insta::assert_snapshot!("told", told);
    assert_eq!(manifest.matches("---\n").count(), 2, "both Secrets pass: {manifest}");
    let (_, again, told) = inject(&["-f", "-"], &manifest);
    assert_eq!(again, manifest);
    assert!(told.contains("pod robin-3f9c1: it replaces the deskd that was there"), "{told}");
    // JSON in, and JSON out.
    let (_, list, _) = inject(&["-f", "-", "-o", "json"], &manifest);
    let value: serde_json::Value = serde_json::from_str(&list).expect("JSON");
    assert_eq!((&value["kind"], &value["items"][2]["kind"]), (&"List".into(), &"Pod".into()));
    let (code, _, _) = inject(&["-f", "-"], &list);
    assert_eq!(code, Exit::Ok as i32);
}

#[test]
fn what_cannot_be_injected_ends_with_a_sentence_a_remedy_and_no_output() {
    let pod = |containers: &str| {
        format!("kind: Pod\nmetadata: {{name: p}}\nspec: {{containers: [{containers}]}}\n")
    };
    let cases = [
        (
            pod("{name: web, image: nginx}"),
            "no container of pod p looks like an X server",
            "remedy: choose the one with Xvnc: --container web",
        ),
        (
            pod("{name: x-a}, {name: x-b}"),
            "several containers of pod p look like an X server: x-a, x-b",
            "remedy: choose the one with Xvnc: --container x-a or x-b",
        ),
        (
            "kind: Service\n".to_owned(),
            "it contains no pod",
            "remedy: give a file with a Pod, Deployment",
        ),
        (String::new(), "it contains no pod", "remedy: give a file with a Pod"),
        (
            "a: [1,\nb: 2\n".to_owned(),
            "it is not valid YAML: unclosed bracket '[' at line 1, column 4",
            "remedy: correct the file",
        ),
        (
            "just text\n".to_owned(),
            "document 1 in it is not a Kubernetes object",
            "remedy: correct the file",
        ),
    ];
    for (manifest, sentence, remedy) in cases {
        let (code, stdout, stderr) = inject(&["-f", "-"], &manifest);
        assert_eq!((code, stdout.as_str()), (Exit::Unhealthy as i32, ""), "{stderr}");
        assert!(stderr.contains(sentence) && stderr.contains(remedy), "{stderr}");
    }
    let (code, _, stderr) = inject(&["-f", "-", "--container", "y"], &pod("{name: x}"));
    assert_eq!(code, Exit::Unhealthy as i32);
    assert!(stderr.contains("pod p has no container y"), "{stderr}");
    assert_eq!(inject(&["-f", "/no/such.yaml"], "").0, Exit::NotFound as i32);
    assert_eq!(inject(&[], "").0, Exit::Usage as i32);
}

#[test]
fn what_is_too_large_is_refused_and_not_cut() {
    let manifest = std::fs::read_to_string(FIXTURE).expect("a manifest");
    let padding = "# and so on\n".repeat((16 << 20) / 12);
    let input = format!("{manifest}---\n{padding}---\nkind: Service\n");
    let (code, manifest, told) = inject(&["-f", "-"], &input);
    assert_eq!((code, manifest.as_str()), (Exit::Unhealthy as i32, ""));
    assert!(told.contains("the file is larger than 16 MiB"), "{told}");
    assert!(told.contains("remedy: split it"), "{told}");
}

#[test]
fn of_several_pods_those_without_an_x_server_stay_as_they_are_and_are_named() {
    let two = "kind: Deployment\nmetadata: {name: db}\nspec: {template: {spec: {containers: [{name: db}]}}}\n\
               ---\nkind: Pod\nmetadata: {generateName: desk-}\nspec: {containers: [{name: x}]}\n";
    let (code, manifest, told) = inject(&["-f", "-", "--no-image-volume"], two);
    assert_eq!(code, Exit::Ok as i32, "{told}");
    assert_eq!(manifest.matches("deskd.io/injected").count(), 1, "{manifest}");
    assert!(told.contains("no container of Deployment db looks like"), "{told}");
    assert!(
        told.contains("pod desk-: deskd's container uses the image localhost/deskd:latest"),
        "{told}"
    );
}
