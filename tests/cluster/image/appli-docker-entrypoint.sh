#!/bin/bash
# The entry point of the tests' application images, of the kind that abcdesktop's images have under
# this name: it makes what a program of the desktop expects out of variables, and runs the program of
# APP with ARGS and APPARGS behind tee. Its exit code is tee's, so it tells nothing about the program.

# The cookie of the display, for its socket and for its address.
if [ -n "$XAUTH_KEY" ]; then
    xauth -q add :0 . "$XAUTH_KEY"
    case $DISPLAY in
        '' | :*) ;;
        *) xauth -q add "${DISPLAY%.0}" . "$XAUTH_KEY" ;;
    esac
fi
# That of the sound server has 256 bytes.
if [ -n "$PULSEAUDIO_COOKIE" ]; then
    mkdir -p ~/.config/pulse
    (umask 077 && for _ in {1..8}; do printf %s "$PULSEAUDIO_COOKIE"; done >~/.config/pulse/cookie)
fi
mkdir -p ~/.cache
[ -n "$DBUS_SESSION_BUS_ADDRESS" ] || ! command -v dbus-launch >/dev/null || eval "$(dbus-launch --sh-syntax)"

cd ~ || exit
# What the user opens is one argument; those of the image are words.
# shellcheck disable=SC2086
"$APP" $ARGS ${APPARGS:+"$APPARGS"} 2>&1 | tee "/tmp/$(basename "$APP").log"
