//! The JSON schema of the configuration: made of the parser's list of keys and of the tables in
//! `docs/configuration.md`, and true of what the parser takes.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::collections::BTreeMap;
use std::io::Write as _;
use std::process::{Command, Stdio};

use deskd::config::{SCHEMA, keys, parse};
use serde_json::{Map, Value, json};

use crate::support::charts::repository;
use crate::support::needs;

const PATH: &str = "docs/configuration.schema.json";

/// A row of a table: type, and what is said of it.
struct Key {
    kind: String,
    meaning: String,
}

/// The rows of a section of the documentation, by key.
fn rows(docs: &str, section: &str) -> BTreeMap<String, Key> {
    let heading =
        if section.is_empty() { "## Top level".into() } else { format!("## `[{section}]`") };
    let (_, body) = docs.split_once(&format!("\n{heading}\n")).expect(section);
    let body = body.split("\n## ").next().unwrap();
    let mut rows = BTreeMap::new();
    let mut columns = Vec::new();
    for line in body.lines().filter(|line| line.starts_with('|')) {
        let cells: Vec<_> = line.trim_matches('|').split('|').map(str::trim).collect();
        if cells[0] == "key" {
            columns = cells;
        } else if let Some(key) = cells[0].strip_prefix('`').and_then(|key| key.strip_suffix('`')) {
            let cell = |name: &str| {
                let at = columns.iter().position(|column| *column == name);
                at.and_then(|at| cells.get(at)).map_or("", |cell| *cell)
            };
            let meaning = explained(cell("meaning"), cell("default"));
            rows.insert(key.to_owned(), Key { kind: cell("type").to_owned(), meaning });
        }
    }
    rows
}

/// What an editor shows of a key. It has no page, so nothing of it is below.
fn explained(meaning: &str, default: &str) -> String {
    let mut text = meaning.replace(", below", "");
    while let Some((before, link)) = text.split_once('[')
        && let Some((name, after)) = link.split_once("](")
        && let Some((_, after)) = after.split_once(')')
    {
        text = format!("{before}{name}{after}");
    }
    let default =
        (!default.is_empty() && !default.contains("below")).then(|| format!("Default: {default}"));
    let said = [Some(text).filter(|text| !text.is_empty() && text != "below"), default];
    let text = said.into_iter().flatten().collect::<Vec<_>>().join(". ").replace('`', "");
    if text.starts_with("deskd") {
        return text;
    }
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

const DNS_LABEL: &str = "^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$";
const SIZE: &str = "^[0-9]+ *(B|KiB|MiB|GiB|TiB|kB|MB|GB)$";

/// The schema of a type, as the documentation writes it.
fn schema_of(docs: &str, section: &str, name: &str, key: &Key) -> Value {
    let below =
        |name: &str| if section.is_empty() { name.into() } else { format!("{section}.{name}") };
    let strings = |items: Value| json!({ "type": "array", "items": items });
    let mut schema = match key.kind.as_str() {
        "string" | "address" => json!({ "type": "string" }),
        "path" => json!({ "type": "string", "pattern": "^/" }),
        "DNS label" => json!({ "type": "string", "pattern": DNS_LABEL }),
        "size" => json!({ "type": "string", "pattern": SIZE }),
        "size or number" => json!({ "type": ["string", "integer"], "pattern": SIZE, "minimum": 0 }),
        "duration" => json!({ "type": "string", "pattern": "^[0-9]+ *(ms|s|m|h)$" }),
        "octal string" => json!({ "type": ["string", "integer"], "pattern": "^(0o)?[0-7]+$" }),
        "number" => json!({ "type": "integer" }),
        "boolean" => json!({ "type": "boolean" }),
        "list of numbers" => strings(json!({ "type": "integer", "minimum": 0 })),
        "list of DNS labels" => strings(json!({ "type": "string", "pattern": DNS_LABEL })),
        "list of strings" | "list of ids" | "list of names, `*` at the end" => {
            strings(json!({ "type": "string" }))
        }
        "table of strings" => {
            json!({ "type": "object", "additionalProperties": { "type": "string" } })
        }
        "table of numbers" => {
            json!({ "type": "object", "additionalProperties": { "type": "integer" } })
        }
        "section" => table(docs, &below(name)),
        "list of tables" => strings(table(docs, &below(name))),
        "sections" => {
            let each = table(docs, &below(&format!("{name}.NAME")));
            json!({ "type": "object", "additionalProperties": each })
        }
        words if words.starts_with("`\"") => {
            let words: Vec<_> = words.split('`').skip(1).step_by(2).collect();
            json!({ "enum": words.iter().map(|word| word.trim_matches('"')).collect::<Vec<_>>() })
        }
        other => panic!("{section}.{name}: the type `{other}` has no schema"),
    };
    if key.kind == "number" {
        let words: Vec<_> = key.meaning.split([' ', ';', ',', '.']).collect();
        let range = words.windows(3).find_map(|words| match words {
            [least, "to", most] => Some((least.parse::<i64>().ok()?, most.parse::<i64>().ok()?)),
            _ => None,
        });
        if let Some((least, most)) = range {
            schema["minimum"] = json!(least);
            schema["maximum"] = json!(most);
        } else {
            schema["minimum"] = json!(0);
        }
    }
    if !key.meaning.is_empty() {
        schema["description"] = json!(key.meaning);
    }
    schema
}

/// The schema of a table: its keys, and no others.
fn table(docs: &str, section: &str) -> Value {
    let (_, keys) = keys::SECTIONS.iter().find(|(name, _)| *name == section).expect(section);
    let rows = rows(docs, section);
    let properties: Map<String, Value> = keys
        .iter()
        .map(|name| {
            let key = rows.get(*name).unwrap_or_else(|| panic!("no row for {section}.{name}"));
            ((*name).to_owned(), schema_of(docs, section, name, key))
        })
        .collect();
    json!({ "type": "object", "additionalProperties": false, "properties": properties })
}

fn made() -> Value {
    let docs = std::fs::read_to_string(repository("docs/configuration.md")).unwrap();
    let mut schema = table(&docs, "");
    schema["$schema"] = json!("http://json-schema.org/draft-07/schema#");
    schema["title"] = json!("The configuration of deskd");
    schema
}

#[test]
fn the_committed_schema_is_that_of_the_keys_and_of_their_documentation() {
    let fresh = serde_json::to_string_pretty(&made()).unwrap() + "\n";
    let target = concat!(env!("CARGO_TARGET_TMPDIR"), "/configuration.schema.json");
    if fresh != SCHEMA {
        std::fs::write(target, &fresh).unwrap();
        panic!("{PATH} is stale: cp {target} {PATH}");
    }
    let printed = Command::new(env!("CARGO_BIN_EXE_deskd")).arg("config-schema").output().unwrap();
    assert_eq!(String::from_utf8(printed.stdout).unwrap(), SCHEMA);
}

/// What Python's validator says of TOML texts by the schema; nothing where it says nothing.
fn judged(texts: &[String]) -> Vec<String> {
    const JUDGE: &str = "
import json, sys, tomllib, jsonschema
schema, texts = json.load(sys.stdin)
jsonschema.Draft7Validator.check_schema(schema)
validator = jsonschema.Draft7Validator(schema)
print(json.dumps(['; '.join(f'{e.json_path}: {e.message}' for e in validator.iter_errors(tomllib.loads(t)))
                  for t in texts]))
";
    let mut command = Command::new("python3");
    command.args(["-c", JUDGE]).stdin(Stdio::piped()).stdout(Stdio::piped());
    #[expect(clippy::disallowed_methods, reason = "it reads what it judges")]
    let mut child = command.spawn().unwrap();
    let schema: Value = serde_json::from_str(SCHEMA).unwrap();
    child.stdin.take().unwrap().write_all(json!([schema, texts]).to_string().as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    serde_json::from_slice(&output.stdout).unwrap()
}

fn takes(text: &str) -> bool {
    parse(text, |_| None).is_ok()
}

/// Every TOML block of the documentation, and the samples.
fn samples() -> Vec<String> {
    let docs = std::fs::read_to_string(repository("docs/configuration.md")).unwrap();
    let blocks = docs.split("```toml\n").skip(1).map(|rest| rest.split("```").next().unwrap());
    let files = ["container/sample.toml", "container/kubernetes.toml"];
    let files = files.map(|file| std::fs::read_to_string(repository(file)).unwrap());
    blocks.map(ToOwned::to_owned).chain(files).collect()
}

/// A value of each kind; the parser takes some of them for a key.
const VALUES: [&str; 9] =
    ["true", "7", "-7", "\"7s\"", "\"/a\"", "[\"a\"]", "{ a = \"b\" }", "1.5", "\"never\""];

#[test]
fn what_the_parser_takes_is_valid_and_what_is_of_the_wrong_type_for_both_is_refused() {
    if !needs::met(&["python3"], &[]) {
        return;
    }
    let samples = samples();
    assert!(samples.len() >= 4);
    for (text, errors) in samples.iter().zip(judged(&samples)) {
        assert!(takes(text), "{text}");
        assert_eq!(errors, "", "{text}");
    }
    // Each key with a value of each kind: whatever the parser takes is valid.
    let mut texts = Vec::new();
    for (section, keys) in keys::SECTIONS {
        let heading = match *section {
            "" => String::new(),
            "app.NAME" => "[app.a]\ncommand = [\"a\"]\n".into(),
            "app.NAME.rlimits" => "[app.a]\ncommand = [\"a\"]\n[app.a.rlimits]\n".into(),
            "execute_class.NAME.tolerations" => "[[execute_class.a.tolerations]]\n".into(),
            other => format!("[{}]\n", other.replace("NAME", "a")),
        };
        for key in keys.iter().filter(|key| !(*section == "app.NAME" && **key == "command")) {
            texts.extend(VALUES.map(|value| format!("{heading}{key} = {value}\n")));
        }
    }
    let verdicts = judged(&texts);
    let mut refused = 0;
    for (text, errors) in texts.iter().zip(&verdicts) {
        if takes(text) {
            assert_eq!(errors, "", "the parser takes {text}");
        } else if !errors.is_empty() {
            refused += 1;
        }
    }
    // A schema that takes everything would pass so far.
    let all_refused = texts.iter().filter(|text| !takes(text)).count();
    println!("{refused} of {all_refused} texts that the parser refuses are invalid");
    assert!(refused * 10 >= all_refused * 7, "{refused} of {all_refused}");
    for (text, sentence) in [
        ("[display]\nrequire_shm = \"yes\"\n", "$.display.require_shm: 'yes' is not of type"),
        ("lisen = \"none\"\n", "Additional properties are not allowed ('lisen'"),
        ("tasks_max = 0\n", "$.tasks_max: 0 is less than the minimum of 1"),
        ("[stop]\nterm = \"5 seconds\"\n", "$.stop.term: '5 seconds' does not match"),
        ("[app.a]\nrestart = \"often\"\n", "$.app.a.restart: 'often' is not one of"),
    ] {
        let verdict = judged(&[text.to_owned()]).remove(0);
        assert!(verdict.contains(sentence) && !takes(text), "{text}: {verdict}");
    }
}
