"""Imports MuJoCo where `MUJOCO_GL` names an OpenGL library that is not installed.

With `MUJOCO_GL=egl`, which many set for headless machines, `import mujoco` loads EGL and fails
where it is missing. Only films use OpenGL, and they can do without: rays draw them then.
"""

import os

try:
    import mujoco
except (AttributeError, ImportError, OSError):  # PyOpenGL's way: an AttributeError, on None
    if "MUJOCO_GL" not in os.environ:
        raise
    os.environ["MUJOCO_GL"] = "disable"
    import mujoco  # noqa: F401
