//! The panel in the languages of its readers: everything that a person is told about a failure, in the
//! browser's language; programs are answered in English.

use serde_json::Value;

use super::panel::{assert_clean, available};
use super::support::browser::{Browser, Look};
use super::support::desk::Desk;

/// Fails as Chromium does where `/dev/shm` is too small, in its words (rule `dev-shm-full`), and shows two
/// megabytes of memory for the numbers.
const APPS: &str = r#"
[app.browser]
display_name = "Browser"
needs_display = false
command = ["sh", "-c", "echo 'Creating shared memory in /dev/shm/x failed: No space left on device (28)' >&2; exit 1"]

[app.sleeps]
display_name = "Sleeper"
needs_display = false
command = ["sleep", "600"]

[app.draws]
display_name = "Painter"
command = ["xclock"]
"#;

/// A page in a language: its words for what the test looks at.
struct Words {
    language: &'static str,
    lang: &'static str,
    title: &'static str,
    failed: &'static str,
    sentence: &'static str,
    remedy: &'static str,
    advice: &'static str,
    reason: &'static str,
    history: &'static str,
    refusal: &'static str,
    removal: &'static str,
}

const LANGUAGES: [Words; 5] = [
    Words {
        language: "en-GB",
        lang: "en",
        title: "Tasks ·",
        failed: "Failed",
        sentence: "The program's space for shared memory, /dev/shm, is full, too small or missing.",
        remedy: "Start it again with --disable-dev-shm-usage",
        advice: "Mount a larger /dev/shm",
        reason: "it runs as a process in this container",
        history: "exit code 1",
        refusal: "Painter needs the display, and nothing listens",
        removal: "This removes 1 ended task and its log.",
    },
    Words {
        language: "fr-CH",
        lang: "fr",
        title: "Tâches ·",
        failed: "Échouée",
        sentence: "L'espace du programme pour la mémoire partagée, /dev/shm, est plein, trop petit ou absent.",
        remedy: "Relancer avec --disable-dev-shm-usage",
        advice: "Monter un /dev/shm plus grand",
        reason: "elle tourne comme processus dans ce conteneur",
        history: "code de sortie 1",
        refusal: "Painter a besoin de l'affichage, mais : rien n'écoute",
        removal: "Ceci retire 1 tâche terminée et sa sortie.",
    },
    Words {
        language: "de-AT",
        lang: "de",
        title: "Tasks ·",
        failed: "Gescheitert",
        sentence: "Der Platz des Programms für gemeinsamen Speicher, /dev/shm, ist voll, zu klein oder fehlt.",
        remedy: "Mit --disable-dev-shm-usage neu starten",
        advice: "Ein größeres /dev/shm einhängen",
        reason: "sie läuft als Prozess in diesem Container",
        history: "Exit-Code 1",
        refusal: "Painter braucht das Display, aber: an Display",
        removal: "Das entfernt 1 beendeten Task und seine Ausgabe.",
    },
    Words {
        language: "es-MX",
        lang: "es",
        title: "Tareas ·",
        failed: "Fallida",
        sentence: "El espacio del programa para memoria compartida, /dev/shm, está lleno, es demasiado pequeño o falta.",
        remedy: "Iniciarla de nuevo con --disable-dev-shm-usage",
        advice: "Montar un /dev/shm mayor",
        reason: "se ejecuta como proceso en este contenedor",
        history: "código de salida 1",
        refusal: "Painter necesita la pantalla, pero: nada escucha",
        removal: "Esto quita 1 tarea terminada y su salida.",
    },
    Words {
        language: "zh-CN",
        lang: "zh",
        title: "任务 ·",
        failed: "失败",
        sentence: "程序的共享内存空间 /dev/shm 已满、太小或不存在。",
        remedy: "用 --disable-dev-shm-usage 重新启动",
        advice: "请挂载更大的 /dev/shm",
        reason: "它作为此容器中的进程运行",
        history: "退出码 1",
        refusal: "Painter 需要显示，但是：显示",
        removal: "这将移除 1 个已结束的任务及其日志",
    },
];

fn text(browser: &Browser, selector: &str) -> String {
    let text = browser.run(&format!("return document.querySelector('{selector}').textContent"));
    text.as_str().expect("text").to_owned()
}

#[test]
fn each_reader_is_told_of_a_failure_and_what_to_do_in_the_browser_s_language() {
    if !available() {
        return;
    }
    let desk = Desk::start(APPS, None);
    let task = desk.launch("browser");
    desk.ended(&task);
    // What was recorded is still told in every language by the next daemon.
    let old = desk.kill_daemon();
    desk.until_back(old);
    for words in &LANGUAGES {
        let browser = Browser::with(Look { language: words.language, ..Look::default() });
        browser.open(&desk.login_url());
        browser.until(&format!("return document.title.includes('{}')", words.title));
        browser.until("return document.querySelector('[data-task] .state') !== null");
        let shown = |selector: &str, wanted: &str| {
            let told = text(&browser, selector);
            assert!(told.contains(wanted), "{}: {wanted:?} is not in: {told}", words.lang);
        };
        assert_eq!(browser.run("return document.documentElement.lang"), words.lang);
        shown("[data-task] .state", words.failed);
        shown("[data-task] .result", words.sentence);
        browser.click("[data-act=unfold]");
        shown("[data-act=remedy]", words.remedy);
        shown(".diagnosis .advice", words.advice);
        assert_eq!(text(&browser, ".diagnosis .advice code"), "desktop.pod");
        for wanted in [words.reason, words.history] {
            shown(".more-cell", wanted);
        }
        browser.click("#remove-ended");
        browser.until("return document.querySelector('dialog') !== null");
        shown("dialog", words.removal);
        browser.press(super::support::browser::ESCAPE);
        browser.until("return document.querySelector('dialog') === null");
        browser.keys("#search", "Painter");
        browser.until("return document.querySelector('#apps [aria-selected=true]') !== null");
        browser.keys("#search", super::support::browser::ENTER);
        browser.until("return document.querySelector('.toast') !== null");
        shown(".toast", words.refusal);
        browser.screenshot(&format!("language-{}", words.lang));
        assert_clean(&browser);
    }
}

#[test]
fn an_address_names_a_language_and_numbers_follow_the_reader() {
    if !available() {
        return;
    }
    let desk = Desk::start(APPS, None);
    desk.launch("sleeps");
    let browser = Browser::with(Look { language: "fr-CH", ..Look::default() });
    browser.open(&desk.login_url());
    browser.until("return document.title.includes('Tâches ·')");
    // 1.2 Mo or 1,2 Mo, as French-speaking Switzerland writes it.
    let written = "const use = document.querySelector('.memory').textContent; \
                   const [, number] = /^([\\d.,]+)\\s?Mo$/.exec(use) ?? []; \
                   if (number === undefined) return null; \
                   return (1.5).toLocaleString('fr-CH').charAt(1) === number.charAt(number.length - 2)";
    browser.until(written);
    browser.open(&format!("http://{}/?lang=de", desk.tcp));
    browser.until("return document.querySelector('[data-task] .state')?.textContent === 'Läuft'");
    assert_eq!(browser.run("return document.documentElement.lang"), "de");
    assert_clean(&browser);
}

#[test]
fn programs_are_answered_in_english_unless_they_ask() {
    let desk = Desk::start(APPS, None);
    let task = desk.launch("browser");
    desk.ended(&task);
    let path = format!("/v1/tasks/{task}");
    let asked = |language: Option<&str>| -> Value {
        let ask = desk.ask("GET", &path);
        match language {
            Some(language) => ask.header("Accept-Language", language),
            None => ask,
        }
        .send()
        .json()
    };
    let english = "The program's space for shared memory, /dev/shm, is full, too small or missing.";
    for language in [None, Some("en"), Some("it, tlh;q=0.5"), Some(";;q=,"), Some("*")] {
        assert_eq!(asked(language)["cause"], english, "{language:?}");
    }
    let german = "Der Platz des Programms für gemeinsamen Speicher, /dev/shm, ist voll, zu klein oder fehlt.";
    let task = asked(Some("de-CH, en;q=0.9"));
    assert_eq!(task["cause"], german);
    assert_eq!(task["diagnosis"]["sentence"], german);
    assert_eq!(task["diagnosis"]["cause"], "dev_shm_too_small");
}
