"""Small robots for tests: a box on four legs of servos and unnamed geoms, and an arm of motors."""

from pathlib import Path

_LEG = """
<body name="{name}_hip" pos="{x} {y} 0">
  <joint name="{name}_hip_joint" axis="0 1 0" range="-1 1" damping="0.5"/>
  <geom type="capsule" fromto="0 0 0 0 0 -0.15" size="0.02"/>
  <body name="{name}_shin" pos="0 0 -0.15">
    <joint name="{name}_knee_joint" axis="0 1 0" range="-1.5 0.2" damping="0.5"/>
    <geom type="capsule" fromto="0 0 0 0 0 -0.15" size="0.015"/>
    <geom size="0.03" pos="0 0 -0.15" priority="1"/>
  </body>
</body>"""
_SERVOS = """
<position name="{name}_hip" joint="{name}_hip_joint" kp="60" ctrlrange="-1 1"/>
<position name="{name}_knee" joint="{name}_knee_joint" kp="60" ctrlrange="-1.5 0.2"
  forcerange="-20 20"/>"""
_CORNERS = {"FL": (0.2, 0.1), "FR": (0.2, -0.1), "RL": (-0.2, 0.1), "RR": (-0.2, -0.1)}

QUADRUPED = f"""<mujoco model="dog">
<compiler angle="radian"/>
<option timestep="0.005" cone="elliptic" impratio="10"/>
<worldbody>
  <geom name="floor" type="plane" size="0 0 1"/>
  <body name="trunk" pos="0 0 0.4"><freejoint/><geom type="box" size="0.22 0.1 0.05" mass="4"/>
  {"".join(_LEG.format(name=n, x=x, y=y) for n, (x, y) in _CORNERS.items())}
  </body>
</worldbody>
<actuator>{"".join(_SERVOS.format(name=n) for n in _CORNERS)}</actuator>
<keyframe>
  <key name="lying" qpos="0 0 0.1 1 0 0 0 0 0 0 0 0 0 0 0"/>
  <key name="home" qpos="0 0 0.32 1 0 0 0 {"0.3 -0.6 " * 4}" ctrl="{"0.3 -0.6 " * 4}"/>
</keyframe>
</mujoco>"""

ARM = """<mujoco model="reacher">
<compiler angle="radian"/>
<option timestep="0.005"/>
<worldbody>
  <body name="upper" pos="0 0 0.3">
    <joint name="shoulder" axis="0 1 0" range="-2 2" damping="1"/>
    <geom type="capsule" fromto="0 0 0 0.3 0 0" size="0.02"/>
    <body name="lower" pos="0.3 0 0">
      <joint name="elbow" axis="0 1 0" range="-2 2" damping="1"/>
      <geom type="capsule" fromto="0 0 0 0.3 0 0" size="0.02"/>
      <body name="hand" pos="0.3 0 0"><geom size="0.03"/><site name="grasp" pos="0.05 0 0"/></body>
    </body>
  </body>
</worldbody>
<actuator>
  <motor name="shoulder" joint="shoulder" ctrlrange="-8 8"/>
  <motor name="elbow" joint="elbow" ctrlrange="-4 4"/>
</actuator>
</mujoco>"""


def written(folder: Path, mjcf: str = QUADRUPED) -> Path:
    """Return a file with this model."""
    path = folder / "robot.xml"
    path.write_text(mjcf)
    return path
