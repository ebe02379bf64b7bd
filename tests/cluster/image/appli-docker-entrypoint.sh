#!/bin/bash
# What application images start, under the name that abcdesktop's images have.
exec "${APPBIN:?names the program}" "$@"
