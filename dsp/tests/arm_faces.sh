#!/bin/sh
# arm_faces.sh SOURCE-DIRECTORY BUILD-DIRECTORY: the faces in dsp/arm/ are built for a 64-bit ARM and tested like the others,
# in an emulator. Skipped (77) where Debian's gcc-aarch64-linux-gnu or qemu-user are not installed.
set -eu
source=$1
build=$2/arm_faces
cc=aarch64-linux-gnu-gcc
for program in $cc qemu-aarch64; do
    command -v $program >/dev/null || {
        echo "skipped: no $program (apt-get install gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user)"
        exit 77
    }
done
mkdir -p "$build"
cd "$source"
kernels="dsp/g711.c dsp/cpu.c dsp/tone_bank.c dsp/screen.c dsp/grid_screen.c dsp/suspicion.c dsp/suspicion_look.c dsp/suspicion_weights.c
    dsp/self_test.c dsp/arm/g711_neon.c dsp/arm/tone_bank_neon.c dsp/arm/screen_neon.c dsp/arm/grid_screen_neon.c testvectors/tone_source.c testvectors/suspicion_run.c
    dsp/dtmf_detector.c dsp/decision.c dsp/decision_model.c dsp/decision_gain.c dsp/decision_follow.c dsp/decision_echo.c base/secret.c base/err.c"
for test in test_g711 test_tone_bank test_screen test_grid_screen test_self_test; do
    # shellcheck disable=SC2086
    $cc -std=c17 -O2 -static -Wall -Wextra -Werror -Wno-psabi -Wno-unused-function -ffp-contract=off -D_GNU_SOURCE \
        -DDSP_HAS_NEON -I. -Idsp/tests/cross -o "$build/$test" dsp/tests/$test.c $kernels -lm -lpthread
    qemu-aarch64 "$build/$test" >"$build/$test.log" 2>&1 || {
        cat "$build/$test.log"
        echo "$test failed on ARM"
        exit 1
    }
    sed "s/^/$test: /" "$build/$test.log"
done
