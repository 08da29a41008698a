"""The built wheel, installed outside the clone, does the main job: nothing leans on the clone."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from shell import Shell

ROOT = Path(__file__).parents[2]
UV = Path(sys.executable).parent / "uv"


def test_the_wheel_does_the_main_job_outside_the_clone(shell: Shell, tmp_path: Path) -> None:
    def run(*command: str | Path) -> None:
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=600, check=False)
        assert done.returncode == 0, done.stdout + done.stderr

    run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", tmp_path / "dist", ROOT)
    (wheel,) = (tmp_path / "dist").glob("cloudmodel-*.whl")
    run(UV, "venv", "--python", sys.executable, tmp_path / "venv")
    python = tmp_path / "venv/bin/python"
    run(UV, "pip", "install", "--python", python, "--require-hashes", "-r", ROOT / "requirements/core.txt")
    run(UV, "pip", "install", "--python", python, "--no-deps", wheel)
    run(python, "-c", f"import cloudmodel.cli, cloudmodel.core; assert {str(ROOT)!r} not in str(cloudmodel.__path__)")

    user = Shell(tmp_path / "work", shell.environment, command=tmp_path / "venv/bin/cloudmodel")
    user.folder.mkdir()
    assert user.run("init", "digits", "--template", "digits").returncode == 0
    inside = Shell(user.folder / "digits", user.environment, command=user.command)
    try:
        inside.json("package")
        assert inside.json("up", "--stack", "local", "--yes")["summary"]["create"] >= 15
        inside.json("up", "--stack", "local", "--yes", "--expect-no-changes")
        assert inside.json("destroy", "--stack", "local", "--yes")["summary"]["delete"] >= 15
    finally:
        assert inside.run("local", "stop").returncode == 0
