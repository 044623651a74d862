"""Puts a policy of `running.py` into the package, with its card.

    cd docs/results; rm running/HalfCheetahVel_siamese_0.json
    python running.py train HalfCheetahVel siamese 0 --save velocity
    python make_pretrained.py running/HalfCheetahVel_siamese_0.json velocity

The card's numbers are those of the run's file: nothing is evaluated again.
"""

import argparse
import json
from pathlib import Path

import metarl
from metarl.pretrained import policies
from metarl.system.files import write_json

FOLDER = Path(policies.__file__).parent
TASKS = 5
"""Tasks whose returns a card names one by one."""


def main() -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("record", type=Path)
    parser.add_argument("checkpoint", type=Path)
    given = parser.parse_args()
    record = json.loads(given.record.read_text())
    learner = metarl.MAML.load(given.checkpoint, device="cpu")
    if learner.num_timesteps != record["steps"]:
        raise ValueError(f"{given.checkpoint} is not the learner of {given.record}")
    name = learner.family.name
    learner.save(FOLDER / f"{name}.safetensors")
    evaluation = record["evaluations"]["test"]
    card = {
        "family": record["family"],
        "algorithm": learner.config.algorithm,
        "seed": learner.config.seed,
        "trained_timesteps": record["steps"],
        "trained_seconds": record["seconds"],
        "machine": record["machine"],
        "made_by": record.get("made_by")
        or f"docs/results/running.py train {name} siamese {learner.config.seed}",
        "versions": record["versions"],
        "licence": "MIT",
        "returns": evaluation["returns"],
        "seen": evaluation["seen"],
        "per_task": evaluation["per_task"][:TASKS],
        "evaluation": evaluation["settings"],
    }
    write_json(FOLDER / f"{name}.json", card)


if __name__ == "__main__":
    main()
