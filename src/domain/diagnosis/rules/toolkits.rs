//! Toolkits that could not begin for other reasons than the display.

use crate::domain::diagnosis::cause::Cause;
use crate::domain::diagnosis::rule::{BLANK, Confidence, Rule, Weight};

pub(super) const RULES: &[Rule] = &[
    Rule {
        name: "qt-plugin",
        cause: Cause::QtPluginMissing,
        any: &[
            "Could not load the Qt platform plugin \"*\"",
            "Could not find the Qt platform plugin \"*\"",
            "Failed to load platform plugin \"*\"",
            "could not find or load the Qt platform plugin \"*\"",
            "no Qt platform plugin could be initialized",
        ],
        weight: Weight::Complaint,
        confidence: Confidence::Likely,
        sentence: "Qt could not load its plugin for the X display: libraries that the plugin needs are missing from the image.",
        advice: "Install what the plugin needs into the image (`ldd .../plugins/platforms/libqxcb.so | grep 'not found'`; most \
                 often libxcb-cursor0, libxcb-icccm4, libxcb-image0, libxcb-keysyms1, libxcb-render-util0, libxcb-xinerama0, \
                 libxkbcommon-x11-0). QT_DEBUG_PLUGINS=1 names the library.",
        source: "Qt 5.15 and 6 qguiapplication.cpp init_platform",
        ..BLANK
    },
    Rule {
        name: "qt-plugin-library",
        cause: Cause::QtPluginMissing,
        any: &[
            "Cannot load library *libqxcb.so: (*",
            "libqxcb.so: *cannot open shared object file",
            "xcb-cursor0 or libxcb-cursor0 is needed",
        ],
        weight: Weight::Complaint,
        confidence: Confidence::Certain,
        sentence: "Qt could not load its plugin for the X display: a library that the plugin needs is missing from the image.",
        advice: "Install the library into the image; the line names it. `ldd .../plugins/platforms/libqxcb.so | grep 'not found'` \
                 lists all of them.",
        source: "Qt 5.15 qlibrary_unix.cpp with QT_DEBUG_PLUGINS=1; Qt 6.5 qguiapplication.cpp (xcb-cursor0)",
        ..BLANK
    },
    Rule {
        name: "dbus-needed",
        cause: Cause::DbusMissing,
        any: &[
            "Failed to open connection to \"*\" message bus",
            "unable to connect to D-Bus",
            "Could not connect to D-Bus",
            "cannot connect to D-Bus",
            "Failed to get D-Bus connection",
            "Cannot autolaunch D-Bus",
            "Unable to autolaunch a dbus-daemon",
            "DBusException: *",
            "org.freedesktop.DBus.Error.NoServer",
            "org.freedesktop.DBus.Error.FileNotFound",
            "org.freedesktop.DBus.Error.NotSupported",
            "cannot connect to the session bus",
            "Failed to connect to the D-Bus session bus",
            "Failed to register: *dbus",
            "Failed to register: *D-Bus",
            "Failed to register: *org.freedesktop.DBus",
            "Failed to register: Could not connect",
            "Failed to register: Unable to acquire",
            "Failed to register: Cannot autolaunch D-Bus",
            "could not connect to session bus",
            "Could not connect to the session bus",
            "Cannot connect to session bus",
            "Failed to get session bus",
            "Unable to connect to session bus",
            "Could not get a session bus connection",
            "Failed to connect to the session bus",
            "D-Bus session bus*not*running",
            "session bus daemon*not running",
            "DBus is not running",
            "D-Bus connection to be created failed",
            "Cannot find a running D-Bus",
            "requires*D-Bus session",
            "is dbus running",
            "Cannot find DBUS_SESSION_BUS_ADDRESS",
            "Error initiating dbus",
            "cannot register existing type*dbus",
            "Error creating proxy: *org.freedesktop",
            "KUniqueApplication: Cannot find the D-Bus session server",
            "KDBusService*cannot*session bus",
        ],
        never: &["bus.cc", "dconf", "at-spi", "AT-SPI", "atk-bridge"],
        weight: Weight::Noise,
        sentence: "The program needs a D-Bus session bus, and there is none.",
        advice: "Start it as `dbus-run-session -- PROGRAM` (label `oc.path` and `oc.args`; package dbus), or start a bus with the \
                 desktop and give its DBUS_SESSION_BUS_ADDRESS. A bus of another container is reached only by a socket on a \
                 shared volume.",
        source: "GLib 2.74 gapplication.c, KDBusAddons 5.103 kdbusservice.cpp, dbus 1.14 dbus-sysdeps-unix.c",
        ..BLANK
    },
];
