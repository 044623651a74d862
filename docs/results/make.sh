#!/bin/sh
# Trains and evaluates half_cheetah_dir anew.
set -e
cd "$(dirname "$0")"
metarl=../../.venv/bin/metarl

rm -rf half_cheetah_dir
$metarl train HalfCheetahDir --out half_cheetah_dir --total-timesteps 12_000_000 --device cpu
$metarl evaluate half_cheetah_dir
