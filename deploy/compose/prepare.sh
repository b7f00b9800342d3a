#!/bin/sh
# Makes what a system must have before its first start: a folder of its own user, and the key under which it seals what it
# stores. Run again, it leaves both as they are.
set -eu
for system in alpha bravo; do
    folder=/state/$system
    keys=$folder/key-encryption-keys.toml
    if [ ! -e "$keys" ]; then
        (umask 077 && printf 'active = "first"\n\n[keys]\n"first" = "%s"\n' "$(head -c 32 /dev/urandom | base64)" >"$keys")
    fi
    chown -R 65532:65532 "$folder"
done
