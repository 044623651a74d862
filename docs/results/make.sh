#!/bin/sh
# Trains and evaluates every run of this folder anew: make.sh, or make.sh NAME for one of them.
set -e
cd "$(dirname "$0")"
metarl=../../.venv/bin/metarl

wanted() {
    [ -z "$only" ] || [ "$only" = "$1" ] || return 1
    rm -rf "$1"
}

only=$1

if wanted half_cheetah_dir; then
    $metarl train HalfCheetahDir --out half_cheetah_dir --total-timesteps 12_000_000 --device cpu
    $metarl evaluate half_cheetah_dir
fi

if wanted point_maml2017; then
    $metarl train Point2D --preset maml2017 --out point_maml2017 --total-timesteps 4_000_000 \
        --hidden 100 100 --activation relu --device cpu
    $metarl evaluate point_maml2017 --halve --tasks 100
fi
