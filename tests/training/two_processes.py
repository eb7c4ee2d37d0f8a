"""What each of two processes does for test_two_processes: `torchrun --nproc_per_node 2 two_processes.py FOLDER`.

FOLDER/data.json names the data. Each stage is trained for two steps at once (FOLDER/STAGE/two), and for one and then
another (FOLDER/STAGE/parts); a run that one process has begun goes on (FOLDER/STAGE/moved). Each process leaves its
weights in FOLDER/STAGE/{two,parts}_RANK.pt.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import torch
import torch.distributed

from moda.stages.registry import build_stage
from moda.training.trainer import Trainer
from tests.every_stage import STAGES, Data, train_config


def train(stage: str, data: Data, output: Path, *changes: str) -> Trainer:
    config = train_config(stage, data, output, *changes)
    trainer = Trainer(config, build_stage(config, source=stage))
    trainer.run()
    return trainer


def main(folder: Path) -> None:
    data = Data(*map(Path, json.loads((folder / "data.json").read_text())))
    for stage in STAGES:
        for name, steps in (("two", (2,)), ("parts", (1, 2)), ("moved", (2,))):
            changes = json.loads((folder / "changes.json").read_text())[stage]
            for number in steps:
                trainer = train(stage, data, folder / stage / name, *changes, f"trainer.steps={number}")
            rank = trainer.runtime.index
            weights = {name: module.state_dict() for name, module in trainer.stage.trainables.items()}
            torch.save(weights, folder / stage / f"{name}_{rank}.pt")
    torch.distributed.destroy_process_group()


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(Path(sys.argv[1]))
