#!/bin/sh
# The life of one package, on the example library: make demo. Every command is shown before it runs.
#   testdata/demo.sh FOLDER
set -eu
bin=$(cd "$(dirname "$0")/bin" && pwd)
folder=${1:-build/demo}
rm -rf "$folder"
mkdir -p "$folder/installed" "$folder/release"
cp "$bin/baseline/codec.dll" "$bin/baseline/codec.pdb" "$folder/installed/"
cp "$bin/fixed/codec.dll" "$bin/fixed/codec.pdb" "$folder/release/"
cd "$folder"
export SOURCE_DATE_EPOCH=1767225600 # 2026-01-01: the same package on every run

# Show a command, run it and insist on its exit status.
step() {
    expected=$1
    shift
    printf '\n$ %s\n' "$*"
    status=0
    "$@" || status=$?
    if [ "$status" -ne "$expected" ]; then
        printf 'demo: exit status %s, expected %s\n' "$status" "$expected" >&2
        exit 1
    fi
}

printf 'What is installed: installed/codec.dll. What it should be: release/codec.dll.\n'
step 0 hpbuild keys generate --no-passphrase -o release-key
step 0 hpbuild diff installed/codec.dll release/codec.dll
step 0 hpbuild build installed/codec.dll release/codec.dll -o codec.hpb \
    --id KB-1 --sequence 1 --product codec --advisory EXAMPLE-2026-1
step 0 hpbuild sign codec.hpb --key file:release-key.key
printf '\nWhom to trust, said once.\n'
step 0 hpbuild policy init -o trust.toml --product codec
step 0 hpbuild policy add-key trust.toml --role release release-key.pub
printf '\nOn a machine with the baseline: applicable.\n'
step 0 hpbuild verify codec.hpb --policy trust.toml --installed installed/codec.dll
printf '\nOn a machine with the fixed build: not needed (exit status 3).\n'
step 3 hpbuild verify codec.hpb --policy trust.toml --installed release/codec.dll
printf '\nFor an auditor: the package is the fixed build and nothing else.\n'
step 0 hpbuild prove codec.hpb --baseline installed/codec.dll --fixed release/codec.dll
step 0 hpbuild inspect codec.hpb
printf '\nEverything is in %s. To begin again: make demo\n' "$folder"
