"""Every family in Gymnasium's registry, as `metarl/<Family>-v0`."""

import gymnasium

from metarl.envs.catalogue import families


def register() -> None:
    """Add the families; done when `envs` or `metarl` is imported."""
    for name in families():
        gymnasium.register(
            id=f"metarl/{name}-v0",
            entry_point="metarl.envs.gymnasium_env:TaskEnv",
            vector_entry_point="metarl.envs.gymnasium_vector:TaskVectorEnv",
            kwargs={"family": name},
        )
