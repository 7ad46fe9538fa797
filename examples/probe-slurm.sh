#!/bin/bash
# Relation probes as a Slurm array: one shard a task, merged by a second job. Submitting again goes on with what is unfinished.
#
#   sbatch examples/probe-slurm.sh MODEL FILE... [options of lens probe]
#   sbatch --dependency=singleton --job-name=probe --array=0 --export=ALL,MERGE=1 examples/probe-slurm.sh
#
#SBATCH --job-name=probe
#SBATCH --array=0-15
#SBATCH --cpus-per-task=4
#SBATCH --mem=4G
#SBATCH --time=02:00:00
#SBATCH --requeue
set -euo pipefail
runs=${RUNS:-$SLURM_SUBMIT_DIR/runs}
mkdir -p "$runs"

if [ -n "${MERGE:-}" ]; then
  exec lens probe merge "$runs"/shard-*.jsonl --out "$runs/all.jsonl"
fi
exec lens probe "$@" \
  --threads "$SLURM_CPUS_PER_TASK" --quiet \
  --shard "$SLURM_ARRAY_TASK_ID/$SLURM_ARRAY_TASK_COUNT" \
  --out "$runs/shard-$SLURM_ARRAY_TASK_ID.jsonl" --resume
