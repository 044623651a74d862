#!/bin/sh
# Trains and evaluates half_cheetah_dir and half_cheetah_dir_60m anew; they are replaced at the end.
set -e
cd "$(dirname "$0")"
metarl=../../.venv/bin/metarl

new=$(mktemp -d -p .)
# Fisher products are of a fifth of the rollouts, as these runs had it
$metarl train HalfCheetahDir --out "$new/half_cheetah_dir" --total-timesteps 12_000_000 \
    --fisher-fraction 0.2 --device cpu
$metarl evaluate "$new/half_cheetah_dir"

cp -r "$new/half_cheetah_dir" "$new/half_cheetah_dir_60m"
$metarl resume "$new/half_cheetah_dir_60m" --total-timesteps 60_000_000
$metarl evaluate "$new/half_cheetah_dir_60m"

rm -rf half_cheetah_dir half_cheetah_dir_60m
mv "$new"/* .
rmdir "$new"
