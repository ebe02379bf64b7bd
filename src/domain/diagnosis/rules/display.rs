//! The X display: not there, not that one, not allowed, lost.

use crate::domain::diagnosis::cause::Cause;
use crate::domain::diagnosis::fact::Fact;
use crate::domain::diagnosis::rule::{BLANK, Confidence, Rule, Weight};

/// What programs write when XOpenDisplay or xcb_connect gave nothing.
const CANNOT_OPEN: &[&str] = &[
    "open X display",
    "open display*",
    "open the display*",
    "opening display*",
    "open the X11 display*",
    "open X11 display*",
    "connect to display*",
    "connect to X server*",
    "connect to the X server*",
    "connect to X display*",
    "connect to X11 server*",
    "connect to X11 window server using '*'",
    "connection to X server*failed",
    "open connection to X server",
    "open connection to display*",
    "Missing X server or $DISPLAY",
    "Unable to init server: Could not connect",
    "Unable to initialize GTK",
    "is DISPLAY set properly",
    "No available video device",
    "x11 not available",
    "x11: not available",
    "xcb_connect*fail",
    "XOpenDisplay*fail",
    "XOpenDisplayFailed",
    "XOpenDisplay*NULL",
    "Display \"*\" can't be opened",
    "Display * can't be opened",
    "Display * unavailable",
    "nodrv_CreateWindow",
    "Make sure that your X server is running",
    "Can't connect to display",
    "no X server found",
    "failed to initialize X11",
    "Could not initialise X output",
    "neither WAYLAND_DISPLAY*nor*DISPLAY",
    "Gtk couldn't be initialized",
    "Failed to initialize GTK",
];

/// The same when `DISPLAY` is not set, or empty, in words that say so.
const NO_NAME: &[&str] = &[
    "No X11 DISPLAY variable was set",
    "no display name and no $DISPLAY",
    "no DISPLAY environment variable",
    "DISPLAY environment variable is missing",
    "DISPLAY environment variable not set",
    "DISPLAY environment variable is not set",
    "DISPLAY is not set",
    "DISPLAY not set",
    "$DISPLAY is not set",
    "Bad display name \"*\"",
    "bad display name",
    "open display: (null)",
    "open display (null)",
    "cannot parse display*",
    "invalid display*DISPLAY",
    "unable to parse*DISPLAY",
];

/// The same, when what should be the name is empty.
const EMPTY_NAME: &[&str] = &[
    "open display: $",
    "open display:$",
    "open display \"\"",
    "open display ''",
    "open display $",
    "connect to display $",
    "connect to display \"\"",
    "connect to X server $",
    "Missing X server or $DISPLAY",
    "is DISPLAY set properly",
    "neither WAYLAND_DISPLAY*nor*DISPLAY",
    "Failed to open display$",
    "cannot open display$",
];

const LISTEN: &str = "Inside the desktop pod DISPLAY is `:0`; `deskd probe` shows what listens. For pods set X11LISTEN=tcp \
     (od.config: `desktop.envlocal`), which starts Xvnc with `-listen tcp`, give DISPLAY=<pod ip>:0, and admit TCP 6000 in \
     the network policy (label `netpol/ocapplication: \"true\"`).";

const COOKIE: &str = "Let the program read the X server's cookie: set XAUTHORITY to a file that its uid may read and that has \
     an entry for this display (`xauth list` shows them), or XAUTH_KEY of the desktop pod. A pod needs an entry for the pod's \
     address: `xauth add <pod ip>:0 . <cookie>`. The file must be newer than the X server's start. Xvnc reads its own from \
     `-auth FILE`.";

const BASE: Rule = Rule { weight: Weight::Complaint, confidence: Confidence::Certain, ..BLANK };

pub(super) const RULES: &[Rule] = &[
    Rule {
        name: "display-cookie-refused",
        cause: Cause::DisplayCookieRefused,
        any: &[
            "Authorization required, but no authorization protocol specified",
            "Invalid MIT-MAGIC-COOKIE-1 key",
            "Invalid XDM-AUTHORIZATION-1 key",
            "No protocol specified",
            "Client is not authorized to connect",
            "connection to * refused by server",
            "Authentication*MIT-MAGIC-COOKIE-1*failed",
            "Authentication failed*X11",
            "X11*Authentication failed",
        ],
        never: &["http", "ssh", "smtp", "imap"],
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
        unless: &[Fact::HadWindow],
        confidence: Confidence::Likely,
        sentence: "The X server accepts the program's connection and does not answer, so the program waits for ever.",
        advice: "Look at the log of the container with Xvnc, and at what holds the server (a client that grabbed it: `xlsclients` \
                 hangs too). `deskd probe` shows `accepts connections but does not answer`. Restart the container \
                 with Xvnc if it stays so.",
        source: "X11 protocol, connection setup: a client waits without limit (libxcb 1.15 xcb_conn.c)",
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
        unless: &[Fact::DisplayGiven],
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
        name: "display-not-reached",
        cause: Cause::DisplayNotListening,
        any: CANNOT_OPEN,
        unless: &[Fact::DisplayAnswersThere, Fact::DisplayNotGiven],
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
        any: &[
            "fatal IO error*on X server",
            "Fatal IO error*on X server",
            "X connection to * broken",
            "The X11 connection broke",
            "Lost connection to X server",
            "X connection error received",
            "X IO error handler called",
            "X11 I/O error handler",
            "XIO:  fatal IO error",
            "X11 error: lost connection",
            "KillClient on X server",
            "lost connection to the X server",
        ],
        weight: Weight::LastWords,
        unless: &[Fact::Stopped],
        sentence: "The X server went away, or closed the program's connection, while the program ran.",
        advice: "Look at why the container with Xvnc ended (`kubectl describe pod`, its last state; often OOMKilled): raise its \
                 memory limit (od.config: `desktop.pod`, `graphical`, `resources`). Programs can only be started again.",
        source: "libX11 1.8 XlibInt.c _XIOError, GDK 3.24 gdkmain-x11.c, Qt 5.15 qxcbconnection.cpp, Chromium x11_event_source",
        ..BASE
    },
    Rule {
        name: "display-lost-as-seen",
        cause: Cause::DisplayLost,
        needs: &[Fact::DisplayLost, Fact::Failed],
        unless: &[Fact::Stopped, Fact::OomKilled],
        confidence: Confidence::Likely,
        sentence: "The X server was restarted or went away while the program ran.",
        advice: "Look at why the container with Xvnc ended (`kubectl describe pod`, its last state; often OOMKilled): raise its \
                 memory limit (od.config: `desktop.pod`, `graphical`, `resources`). Programs can only be started again.",
        source: "deskd's own look at the display",
        ..BASE
    },
];
