#!/bin/sh
# Compiles the test canisters to OUT/NAME.wasm, those that are older than any source. Needs clang and lld; CLANG names
# another clang.
set -eu

if [ $# -ne 1 ]; then
    echo "usage: build.sh OUT" >&2
    exit 1
fi
mkdir -p "$1/shapes"
out=$(cd "$1" && pwd)
cd "$(dirname "$0")"

# The stack comes first in memory, so that overflowing it traps instead of overwriting data.
build() {
    name=$1
    shift
    if [ -e "$out/$name.wasm" ] && [ -z "$(find . -newer "$out/$name.wasm" -print -quit)" ]; then
        return
    fi
    ${CLANG:-clang} --target=wasm32 -std=c11 -O2 -mbulk-memory -mcpu=mvp -ffreestanding -nostdlib \
        -Wall -Wextra -Wconversion -Wshadow -Wstrict-prototypes -Wmissing-prototypes \
        -Wl,--no-entry,--strip-all,--stack-first,-z,stack-size=65536 \
        -o "$out/$name.wasm.$$" "$name.c" "$@"
    mv "$out/$name.wasm.$$" "$out/$name.wasm"
}

build sample candid.c sha256.c
build hello candid.c
for source in shapes/*.c; do
    shape=${source%.c}
    [ "$shape" = shapes/shape ] || build "$shape" shapes/shape.c candid.c
done
