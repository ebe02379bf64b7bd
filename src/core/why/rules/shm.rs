//! MIT-SHM: the X server cannot see, or wrongly sees, the program's shared memory.

use crate::why::cause::Cause;
use crate::why::fact::Fact;
use crate::why::rule::{BLANK, Confidence, Offer, Rule, Weight};

const ADVICE: &str = "MIT-SHM needs the IPC namespace and the uid of the X server, and its unix socket. Set the label \
     `oc.containerengine` to `ephemeral_container`; where it must stay a pod and its toolkit has a switch, set \
     QT_XCB_NO_MITSHM=1, QT_X11_NO_MITSHM=1, J2D_USE_MITSHM=false and NO_AWT_MITSHM=1. Inside the desktop pod give \
     DISPLAY=:0 (not an address) and the uid of Xvnc. Last resort: start Xvnc with `-extension MIT-SHM`. \
     `deskd probe` shows what works.";

const SENTENCE: &str = "The program draws through memory that it shares with the X server, and from where it runs the X \
     server cannot see that memory.";

const BASE: Rule = Rule {
    cause: Cause::ShmRefused,
    weight: Weight::LastWords,
    confidence: Confidence::Certain,
    sentence: SENTENCE,
    advice: ADVICE,
    offer: Offer::SharedMemory,
    ..BLANK
};

pub(super) const RULES: &[Rule] = &[
    Rule {
        name: "shm-put-image-bad-value",
        cause: Cause::ShmWrongMemory,
        any: &[
            "X Error of failed request:*BadValue",
            "The error was 'BadValue",
            "X Error: BadValue",
            "XCB error: 2 (BadValue)*(MIT-SHM)",
        ],
        near: &[
            "X_ShmPutImage",
            "(MIT-SHM), minor code: 3",
            "(MIT-SHM) minor_code 3",
            "request_code 1* minor_code 3)",
        ],
        sentence: "The X server drew from memory of another IPC namespace: a segment there has the same number, and \
                   is too small for the picture.",
        source: "libX11 1.8 XlibInt.c, libXext 1.3 XShm.c; xserver 21.1 Xext/shm.c",
        ..BASE
    },
    Rule {
        name: "shm-attach-refused",
        any: &[
            "X Error of failed request:*BadAccess",
            "X Error of failed request:*BadRequest",
            "X Error of failed request:*BadMatch",
        ],
        near: &["X_ShmAttach", "opcode*(MIT-SHM)"],
        source: "libX11 1.8 XlibInt.c _XPrintDefaultError, libXext 1.3 XShm.c",
        ..BASE
    },
    Rule {
        name: "shm-bad-segment",
        any: &["X Error of failed request:*BadShmSeg"],
        source: "libX11 1.8 XlibInt.c, libXext 1.3 XShm.c error_list",
        ..BASE
    },
    Rule {
        name: "shm-gdk",
        any: &["The error was 'BadShmSeg"],
        source: "GDK 2.24 and 3.24 gdkmain-x11.c/gdkerrors (`received an X Window System error`)",
        ..BASE
    },
    Rule {
        name: "shm-gdk-attach",
        any: &["The error was 'BadAccess", "The error was 'BadRequest", "The error was 'BadMatch"],
        // GDK 2 has no names of extensions, whose numbers are from 128 on; of those that a client can
        // be refused, MIT-SHM has attaching as its request 1.
        near: &["(MIT-SHM)", "request_code 13* minor_code 1)", "request_code 14* minor_code 1)"],
        source: "GDK 3.24 gdkmain-x11.c gdk_x_error",
        ..BASE
    },
    Rule {
        name: "shm-qt4",
        any: &["X Error: BadShmSeg"],
        offer: Offer::ShmSwitch,
        source: "Qt 4.8 qapplication_x11.cpp qt_x_errhandler",
        ..BASE
    },
    Rule {
        name: "shm-qt4-attach",
        any: &["X Error: BadAccess", "X Error: BadRequest", "X Error: BadMatch"],
        near: &["(MIT-SHM)"],
        offer: Offer::ShmSwitch,
        source: "Qt 4.8 qapplication_x11.cpp qt_x_errhandler",
        ..BASE
    },
    Rule {
        name: "shm-qt5",
        any: &[
            "QXcbConnection: XCB error:*MIT-SHM",
            "XCB error: 128 *major code: 1*minor code: 3 ",
            "XCB error: 10 (BadAccess)*major code: 13*minor code: 1 ",
            "XCB error: 10 (BadAccess)*major code: 14*minor code: 1 ",
            "XCB error: 1 (BadRequest)*major code: 13*minor code: 1 ",
            "XCB error: 1 (BadRequest)*major code: 14*minor code: 1 ",
        ],
        never: &["XCB error: 2 (BadValue)"],
        weight: Weight::Complaint,
        confidence: Confidence::Likely,
        offer: Offer::ShmSwitch,
        source: "Qt 5.15 and 6 qxcbconnection.cpp printXcbError",
        ..BASE
    },
    Rule {
        name: "shm-segment-not-attached",
        any: &[
            "XShmAttach failed",
            "XShmAttach() failed",
            "Failed to attach shared memory",
            "failed to attach to shared memory",
            "Shared memory error*disabling",
            "error attaching shared memory*X server",
            "Shared memory*failed*attach*",
            "attach to shared memory",
            "attach shared memory",
            "attach the shared memory",
            "(MIT-SHM)*attach",
            "XShmGetImage*fail",
            "XShmCreateImage*fail",
            "XShmPutImage*fail",
            "XShmAttach*error",
            "XShmAttach: *",
            "XShmPutImage*error",
            "BadAccess*MIT-SHM",
            "MIT-SHM*BadAccess",
            "MIT-SHM*BadRequest",
        ],
        weight: Weight::Noise,
        confidence: Confidence::Possible,
        needs: &[Fact::Failed],
        source: "mpv 0.35 vo_x11.c and vo_xv.c, VirtualGL 2 fbx.c, ffmpeg xcbgrab, wine 8 winex11 xvidmode/bitblt",
        ..BASE
    },
    Rule {
        name: "shm-error-survived",
        any: &["BadShmSeg", "error_code 128 request_code 1*minor_code 3"],
        // Words that a program ends after: of one that goes on they are another one's.
        never: &["X Error of failed request", "The error was '"],
        weight: Weight::Always,
        source: "mpv 0.35 x11_common.c and others with an error handler that goes on; error 128 is the first of MIT-SHM on \
                 Xvnc 1.12 and Xorg 21.1",
        ..BASE
    },
    Rule {
        name: "shm-xcb",
        any: &[
            "Cannot get the image data event_error: *error_code:128",
            "xcb_shm_attach*fail",
            "xcb_shm_put_image*fail",
            "cannot attach*xshm",
        ],
        weight: Weight::Noise,
        confidence: Confidence::Likely,
        source: "xcb programs (ffmpeg, VLC 3 xcb_x11, i3lock)",
        ..BASE
    },
];
