//! The X display: not there, not that one, not allowed, lost.

use super::display_words::{CANNOT_OPEN, CLOSED, EMPTY_NAME, NO_NAME, REFUSED};
use crate::why::cause::Cause;
use crate::why::fact::Fact;
use crate::why::rule::{BLANK, Confidence, Rule, Weight};

const LISTEN: &str = "Inside the desktop pod DISPLAY is `:0`; `deskd probe` shows what listens. For pods set X11LISTEN=tcp \
     (od.config: `desktop.envlocal`), which starts Xvnc with `-listen tcp`, give DISPLAY=<pod ip>:0, and admit TCP 6000 in \
     the network policy (label `netpol/ocapplication: \"true\"`).";

const CLOSED_ADVICE: &str = "Look at why the container with Xvnc ended (`kubectl describe pod`, its last state; often OOMKilled): \
     raise its memory limit (od.config: `desktop.pod`, `graphical`, `resources`). Programs can only be started again.";

const COOKIE: &str = "Let the program read the X server's cookie: set XAUTHORITY to a file that its uid may read and that has \
     an entry for this display (`xauth list` shows them), or XAUTH_KEY of the desktop pod. A pod needs an entry for the pod's \
     address: `xauth add <pod ip>:0 . <cookie>`. The file must be newer than the X server's start. Xvnc reads its own from \
     `-auth FILE`.";

/// Some programs end with 0 when they cannot have a display (VLC 3, Inkscape 1.2, wish).
const BASE: Rule = Rule {
    weight: Weight::LastWords,
    unless: &[Fact::HadWindow, Fact::WorkedOn],
    confidence: Confidence::Certain,
    ..BLANK
};

pub(super) const RULES: &[Rule] = &[
    Rule {
        name: "display-cookie-refused",
        cause: Cause::DisplayCookieRefused,
        any: REFUSED,
        never: &["http:", "https:", "smtp", "imap"],
        sentence: "The X server refused the program: it showed no cookie, or the wrong one.",
        advice: COOKIE,
        source: "xserver 21.1 os/auth.c and os/connection.c (the text is the server's), libX11 1.8 OpenDis.c",
        ..BASE
    },
    Rule {
        name: "display-cookie-file",
        cause: Cause::DisplayCookieRefused,
        any: &[
            "unable to read auth*",
            "authority file*does not exist",
            "error in locking authority file",
        ],
        weight: Weight::Noise,
        confidence: Confidence::Likely,
        needs: &[Fact::NoWindow],
        sentence: "The file with the X server's cookie cannot be read: the server will refuse the program.",
        advice: COOKIE,
        source: "xauth 1.1 process.c",
        ..BASE
    },
    Rule {
        name: "display-full",
        cause: Cause::DisplayHangs,
        any: &["Maximum number of clients reached"],
        sentence: "The X server takes no more connections: programs hold all that it allows.",
        advice: "Start Xvnc with `-maxclients 512` (256 is its default); `xlsclients` and `xrestop` show who holds them.",
        source: "xserver 21.1 os/connection.c",
        ..BASE
    },
    Rule {
        name: "display-hangs",
        cause: Cause::DisplayHangs,
        needs: &[Fact::Lasted, Fact::DisplaySilent],
        unless: &[Fact::HadWindow, Fact::EndedByItself],
        // Less than a program's own words, which tell a server that refuses from one that is silent.
        confidence: Confidence::Possible,
        sentence: "The X server accepts the program's connection and does not answer, so the program waits for ever.",
        advice: "Look at the log of the container with Xvnc, and at what holds the server (a client that grabbed it: `xlsclients` \
                 hangs too). `deskd probe` shows `accepts connections but does not answer`. Restart the container \
                 with Xvnc if it stays so.",
        source: "X11 protocol, connection setup: a client waits without limit (libxcb 1.15 xcb_conn.c)",
        ..BASE
    },
    Rule {
        name: "display-hangs-perhaps",
        cause: Cause::DisplayHangs,
        needs: &[Fact::Lasted, Fact::DisplaySilent, Fact::NoWindow],
        confidence: Confidence::Possible,
        sentence: "The X server does not answer, and the program gave up after it had waited.",
        advice: "Look at the log of the container with Xvnc. `deskd probe` shows whether it listens and whether it answers. \
                 Restart the container with Xvnc if it stays so.",
        source: "programs with a time limit of their own for their start",
        ..BASE
    },
    Rule {
        name: "display-name-missing",
        cause: Cause::DisplayWrong,
        any: NO_NAME,
        sentence: "The program was not told which display to use, or by a name that cannot be one: DISPLAY.",
        advice: LISTEN,
        source: "java.desktop 17, Tk 8.6, Firefox 128 nsAppRunner.cpp, GLFW 3.3 x11_init.c, xdotool 3, python-xlib 0.33",
        ..BASE
    },
    Rule {
        name: "display-name-empty",
        cause: Cause::DisplayWrong,
        any: EMPTY_NAME,
        unless: &[Fact::DisplayGiven, Fact::HadWindow, Fact::WorkedOn],
        confidence: Confidence::Likely,
        sentence: "The program was not told which display to use: DISPLAY is not set.",
        advice: LISTEN,
        source: "GTK 3.24 gtkmain.c, Qt 5.15 qxcbconnection.cpp, Xt 1.2 Display.c, Chromium ozone_platform_x11.cc",
        ..BASE
    },
    Rule {
        name: "display-another-answers",
        cause: Cause::DisplayWrong,
        any: CANNOT_OPEN,
        needs: &[Fact::DisplayAnswersThere],
        confidence: Confidence::Likely,
        sentence: "The program cannot reach the display it was given, while the desktop's display answers: DISPLAY names \
                   another one, or a host that cannot be reached.",
        advice: LISTEN,
        source: "see display-not-reached; deskd's own look at the display",
        ..BASE
    },
    Rule {
        name: "display-none-given",
        cause: Cause::DisplayWrong,
        any: CANNOT_OPEN,
        needs: &[Fact::DisplayNotGiven],
        sentence: "The program was not told which display to use: DISPLAY is not set.",
        advice: LISTEN,
        source: "see display-not-reached; the environment it was given",
        ..BASE
    },
    Rule {
        name: "display-none-given-no-window",
        cause: Cause::DisplayWrong,
        needs: &[Fact::DisplayNotGiven, Fact::NoWindow, Fact::Lasted],
        confidence: Confidence::Possible,
        sentence: "The program was not told which display to use (DISPLAY is not set), and showed no window.",
        advice: LISTEN,
        source: "SDL 2.26 falls back to a display without windows; the environment it was given",
        ..BASE
    },
    Rule {
        name: "display-none-given-failed",
        cause: Cause::DisplayWrong,
        needs: &[Fact::DisplayNotGiven, Fact::NoWindow, Fact::Failed],
        confidence: Confidence::Possible,
        sentence: "The program was not told which display to use (DISPLAY is not set), and ended without a window.",
        advice: LISTEN,
        source: "Vim 9 goes on in a terminal; the environment it was given",
        ..BASE
    },
    Rule {
        name: "display-away-failed",
        cause: Cause::DisplayNotListening,
        needs: &[Fact::DisplayAway, Fact::NoWindow, Fact::Failed],
        confidence: Confidence::Possible,
        sentence: "The display that the program was given does not answer, and the program ended without a window.",
        advice: LISTEN,
        source: "VLC 3 does not say why; deskd's own look at the display",
        ..BASE
    },
    Rule {
        name: "display-away-unseen",
        cause: Cause::DisplayNotListening,
        needs: &[Fact::DisplayAway, Fact::DisplayGiven, Fact::EndedByItself, Fact::AtOnce],
        unless: &[Fact::HadWindow, Fact::NoWindow],
        confidence: Confidence::Possible,
        sentence: "The display that the program was given does not answer, and the program ended at once.",
        advice: LISTEN,
        source: "Inkscape 1.2 ends with 0 and without a word (measured); deskd's own look at the display",
        ..BASE
    },
    Rule {
        name: "display-not-reached",
        cause: Cause::DisplayNotListening,
        any: CANNOT_OPEN,
        unless: &[
            Fact::DisplayAnswersThere,
            Fact::DisplayNotGiven,
            Fact::HadWindow,
            Fact::WorkedOn,
        ],
        confidence: Confidence::Likely,
        sentence: "The program cannot reach the X display: nothing listens where its DISPLAY points.",
        advice: LISTEN,
        source: "Xlib and xcb programs: GTK 2-4, Qt 4-6, Xt 1.2, SDL 2, Tk 8.6, java.desktop 17, Chromium, mpv, VLC, FLTK, wx, \
                 GLFW, winit, wine",
        ..BASE
    },
    Rule {
        name: "display-lost",
        cause: Cause::DisplayLost,
        any: CLOSED,
        weight: Weight::LastWords,
        unless: &[Fact::Stopped, Fact::ServerStayed],
        sentence: "The X server went away, or closed the program's connection, while the program ran.",
        advice: CLOSED_ADVICE,
        source: "libX11 1.8 XlibInt.c _XIOError, GDK 3.24 gdkmain-x11.c, Qt 5.15 qxcbconnection.cpp, Chromium x11_event_source",
        ..BASE
    },
    Rule {
        name: "display-lost-since-silent",
        cause: Cause::DisplayLost,
        needs: &[Fact::HadWindow, Fact::DisplaySilent, Fact::Ended],
        unless: &[Fact::Stopped, Fact::OomKilled],
        confidence: Confidence::Likely,
        sentence: "The X server showed the program's window, and does not answer any more.",
        advice: CLOSED_ADVICE,
        source: "GTK 3 and 4 end with code 1 and without a word when the connection breaks (measured)",
        ..BASE
    },
    Rule {
        name: "display-lost-as-seen",
        cause: Cause::DisplayLost,
        needs: &[Fact::DisplayLost],
        unless: &[Fact::StoppedByDeskd, Fact::StoppedByNode, Fact::OomKilled],
        confidence: Confidence::Likely,
        sentence: "The X server was restarted or went away while the program ran.",
        advice: CLOSED_ADVICE,
        source: "deskd's own look at the display",
        ..BASE
    },
];
