#!/bin/sh
# Trains and evaluates half_cheetah_dir and half_cheetah_dir_60m anew.
set -e
cd "$(dirname "$0")"
metarl=../../.venv/bin/metarl

rm -rf half_cheetah_dir
$metarl train HalfCheetahDir --out half_cheetah_dir --total-timesteps 12_000_000 --device cpu
$metarl evaluate half_cheetah_dir

rm -rf half_cheetah_dir_60m
cp -r half_cheetah_dir half_cheetah_dir_60m
$metarl resume half_cheetah_dir_60m --total-timesteps 60_000_000
$metarl evaluate half_cheetah_dir_60m
