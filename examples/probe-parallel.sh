#!/bin/sh
# Relation probes on all cores of one machine: N shards side by side, then merged. Run it again after an interruption: it goes on.
#
#   examples/probe-parallel.sh N FOLDER MODEL FILE... [options of lens probe]
#
# FOLDER gets a run for each shard and all.jsonl. LENS names the program (lens); without GNU parallel xargs does the same.
set -eu
shards=$1 folder=$2
shift 2
mkdir -p "$folder"

if command -v parallel >/dev/null; then
  side_by_side="parallel -q -j $shards --halt now,fail=1"
else
  side_by_side="xargs -P $shards -I {}"
fi
seq 0 $((shards - 1)) | $side_by_side ${LENS:-lens} probe "$@" --threads 1 --quiet \
  --shard "{}/$shards" --out "$folder/shard-{}.jsonl" --resume >/dev/null

rm -f "$folder/all.jsonl"
${LENS:-lens} probe merge "$folder"/shard-*.jsonl --out "$folder/all.jsonl"
