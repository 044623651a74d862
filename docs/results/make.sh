#!/bin/sh
# Trains and evaluates every run of this folder anew: make.sh, or make.sh NAME for one of them.
set -e
cd "$(dirname "$0")"
metarl=../../.venv/bin/metarl

run() {
    name=$1; steps=$2; shift 2
    [ -z "$wanted" ] || [ "$wanted" = "$name" ] || return 0
    rm -rf "$name"
    $metarl train "$@" --out "$name" --device cpu
    $metarl evaluate "$name" --tasks 40 --rollouts 20 --steps "$steps"
}

wanted=$1
run half_cheetah_dir 3 HalfCheetahDir --total-timesteps 12_000_000
run point_maml2017 3 Point2D --preset maml2017 --total-timesteps 12_000_000 \
    --inner-lr 0.5 --hidden 100 100 --activation relu
