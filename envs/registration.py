"""Registers every family with Gymnasium, as `metarl/<Family>-v0`."""

import gymnasium

from metarl.envs.catalogue import families


def register() -> None:
    """Register the families; `metarl.envs` does so when it is imported.

    Registering twice overwrites an id with itself.
    """
    for name in families():
        gymnasium.register(
            id=f"metarl/{name}-v0",
            entry_point="metarl.envs.gymnasium_env:TaskEnv",
            vector_entry_point="metarl.envs.gymnasium_vector:TaskVectorEnv",
            kwargs={"family": name},
        )
