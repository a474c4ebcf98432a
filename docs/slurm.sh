#!/usr/bin/env bash
#SBATCH --job-name=clinical-modernbert
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --gpus-per-node=8
#SBATCH --cpus-per-task=64
#SBATCH --time=24:00:00
#SBATCH --signal=TERM@300
#SBATCH --open-mode=append
# sbatch docs/slurm.sh RECIPE CORPUS OUTPUT: trains until the run is finished, over as many jobs as that takes.
set -euo pipefail
recipe=$1 corpus=$2 output=$3

newest() { readlink "$output/checkpoints/latest" || true; }

before=$(newest)
head=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
srun bash -c "exec torchrun --nnodes $SLURM_NNODES --node-rank \$SLURM_NODEID --master-addr $head --master-port 29500 \
  --nproc-per-node 8 -m clinical_modernbert pretrain --recipe $recipe --corpus $corpus -o $output --resume" || true

# torchrun that was sent SIGTERM ends with an error, though its processes wrote a checkpoint: the run itself says whether it is finished.
# A job that wrote no checkpoint would not do better the next time.
finished='import pathlib, sys; from clinical_modernbert.pretraining.run import Run; sys.exit(not Run(pathlib.Path(sys.argv[1])).is_finished)'
if [ "$(newest)" = "$before" ]; then
    echo "no new checkpoint in $output: not submitted again" >&2
    exit 1
fi
python -c "$finished" "$output" || sbatch "$0" "$recipe" "$corpus" "$output"
