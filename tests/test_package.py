"""What a person gets who installs: the wheel of the sdist, in an empty folder, with no checkout on the path."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from moda.cli.commands import COMMANDS
from moda.media.audio import write_wav
from moda.media.video import probe
from tests.conftest import made_once, speech_like

REPOSITORY = Path(__file__).parents[1]
PIP = [sys.executable, "-m", "pip", "-q", "--disable-pip-version-check"]


def run(*command: object, folder: Path, path: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run in `folder`, with `path` and no checkout before the environment's packages."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    if path is not None:
        environment |= {"PYTHONPATH": str(path), "PATH": f"{path / 'bin'}{os.pathsep}{os.environ['PATH']}"}
    return subprocess.run([str(part) for part in command], cwd=folder, env=environment, capture_output=True, text=True)


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    """A folder with the package, installed without its dependencies."""
    with made_once(tmp_path_factory, worker_id, "package") as folder:
        if not (folder / "site" / "bin" / "moda").exists():
            kept = shutil.ignore_patterns(".*", "__pycache__", "*.egg-info", "build", "dist", "runs", "store", "tests")
            shutil.copytree(REPOSITORY, folder / "checkout", ignore=kept, dirs_exist_ok=True)
            build = "import sys; from setuptools import build_meta; build_meta.build_sdist(sys.argv[1])"
            for command in (
                [sys.executable, "-c", build, folder],
                [*PIP, "wheel", "--no-deps", "--no-index", "--no-build-isolation", "-w", folder, "moda.tar.gz"],
                [*PIP, "install", "--no-deps", "--no-index", "--target", folder / "site", "moda.whl"],
            ):
                made = {".gz": "*.tar.gz", ".whl": "*.whl"}.get(Path(str(command[-1])).suffix)
                last = command[-1] if made is None else next(folder.glob(made))
                done = run(*command[:-1], last, folder=folder / "checkout")
                assert done.returncode == 0, done.stdout + done.stderr
            shutil.rmtree(folder / "checkout")
    return folder / "site"


def test_the_wheel_holds_every_module_config_and_checkpoint(installed: Path) -> None:
    def names(root: Path, *patterns: str) -> set[str]:
        return {path.relative_to(root).as_posix() for pattern in patterns for path in root.glob(pattern)}

    code = ("moda/**/*.py", "data_prepare/**/*.py", "moda/package_data/*.np*", "moda/package_data/report.*")
    code += ("moda/evaluation/report/*.*", "data_prepare/report/page.*")
    assert names(installed, *code) == names(REPOSITORY, *code)
    data = ("configs/**/*.yaml", "configs/**/*.json", "assets/checkpoints/*.pt", "assets/demo.png")
    assert names(installed / "moda" / "package_data", *data) == names(REPOSITORY, *data)


def test_it_animates_in_an_empty_folder(installed: Path, tmp_path: Path, astronaut: np.ndarray) -> None:
    write_wav(tmp_path / "voice.wav", speech_like(0.6))
    Image.fromarray(astronaut).save(tmp_path / "face.png")
    done = run("moda", "infer", "voice.wav", "face.png", "--device", "cpu", folder=tmp_path, path=installed)
    assert done.returncode == 0, done.stdout + done.stderr
    video = probe(tmp_path / "voice.mp4")
    assert (video.width, video.height) == (256, 256) and video.seconds == pytest.approx(0.6, abs=0.05)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["face.png", "voice.mp4", "voice.wav"]


def test_it_finds_configs_and_checkpoints_in_an_empty_folder(installed: Path, tmp_path: Path) -> None:
    script = """if True:
        import moda
        from pathlib import Path
        from moda import checkpoint
        from moda.evaluation.ablation.plan import AblationConfig, plan
        from moda.cli.commands import main
        from moda.config import load_yaml, parse
        from moda.av_offset import LipSync
        LipSync.load()
        config = parse(AblationConfig, load_yaml("ablation/paper"), source="")
        start = checkpoint.load(Path(load_yaml("default/renderer_person")["init"]))
        print(moda.__file__, load_yaml("default/infer")["size"], start.stage, len(plan(config)) > 20)
        raise SystemExit(main(["train", "--config", "configs/default/faco.yaml"]))
    """
    done = run(sys.executable, "-c", script, folder=tmp_path, path=installed)
    assert done.returncode == 2, done.stderr
    assert done.stdout.splitlines()[0].split() == [str(installed / "moda" / "__init__.py"), "256", "renderer", "True"]
    assert "no clip store at data/clips (store.json is missing); make one with 'moda prepare'" in done.stderr
    assert "Traceback" not in done.stderr


def test_messages_name_no_script_of_the_checkout() -> None:
    files = [path for name in ("moda", "data_prepare", "configs") for path in (REPOSITORY / name).rglob("*.*")]
    texts = {path: path.read_text() for path in files if path.suffix in (".py", ".yaml")}
    assert len(texts) > 100
    scripts = [f"{'scripts'}/", *(f"{name}.py -" for name in COMMANDS)]
    assert [path for path, text in texts.items() if any(script in text for script in scripts)] == []
