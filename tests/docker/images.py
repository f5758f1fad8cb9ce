"""The images that the tests run, made without a registry and kept between runs.

A base is made from Debian's own packages by debootstrap (some 50 s), where this is root and there is
debootstrap; elsewhere the image that people use is pulled. What was made is kept as a tar, named after all
that went into it, and loaded into whatever engine lacks it.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from clawbucket.cli.refusal import Refusal
from tests.docker.host import Engine, cache, tell

ROOT = Path(__file__).resolve().parents[2]
SUITE = "bookworm"
"""Debian's release."""
LABEL = "clawbucket.recipe"
"""What an image carries that was made here: the digest of all that went into it."""
BUILD = 900.0
"""Seconds for one image: a debootstrap or a build over a slow mirror."""
_AUTHORITIES = Path("/etc/ssl/certs/ca-certificates.crt")
_FORM = "1"
"""Goes up when images are made in another way."""
_WASTE = (
    "var/cache/apt/archives", "var/lib/apt/lists", "usr/share/doc", "usr/share/locale", "usr/share/man",
)  # fmt: skip
_PIP = ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_TRUSTED_HOST", "PIP_DEFAULT_TIMEOUT")
"""What the host's pip is told and a container's pip may need as well."""
_PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy")


@dataclass(frozen=True, slots=True)
class Base:
    """An image of Debian packages. ``upstream``: what is pulled where debootstrap cannot be used."""

    name: str
    packages: tuple[str, ...]
    upstream: str

    @property
    def tag(self) -> str:
        """Its name in the engine."""
        return f"clawbucket-test/{self.name}:{SUITE}"

    @property
    def recipe(self) -> str:
        """The digest of what goes into it; the host's certificate authorities do."""
        told = hashlib.sha256("\n".join((_FORM, SUITE, *self.packages, *_WASTE)).encode())
        if _AUTHORITIES.exists():
            told.update(_AUTHORITIES.read_bytes())
        return told.hexdigest()[:16]


PYTHON = Base(
    "python", ("python3", "python3-venv", "python3-pip", "ca-certificates"), "python:3.12-slim-bookworm"
)
MEMCACHED = Base("memcached", ("memcached",), "memcached:1.6")
DIND = Base("dind", ("docker.io", "iptables", "iproute2", "ca-certificates"), "docker:27-dind")
"""A Docker engine for one node of a swarm."""


def base(engine: Engine, wanted: Base) -> str:
    """The base's tag, once the engine has it. Refusal where it can be neither made nor pulled."""
    if _recipe_of(engine, wanted.tag) == wanted.recipe:
        return wanted.tag
    kept = cache() / "images" / f"{wanted.name}-{wanted.recipe}.tar"
    if kept.exists():
        engine.docker("load", "--input", kept, timeout=BUILD)
        if _recipe_of(engine, wanted.tag) == wanted.recipe:
            return wanted.tag
    if os.geteuid() != 0 or not shutil.which("debootstrap"):
        return _pull(engine, wanted)
    tell(f"making the image {wanted.tag} with debootstrap (about a minute, once)")
    kept.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=kept.parent, prefix=f"{wanted.name}-") as directory:
        root = Path(directory) / "root"
        _debootstrap(root, wanted)
        _import(engine, root, wanted)
    _keep(engine, wanted.tag, kept)
    return wanted.tag


def ollama(engine: Engine) -> str:
    """A stand-in for Ollama (tests/fake_ollama.py), used as upstream's image is: ``serve`` and ``list``."""
    tag = "clawbucket-test/ollama:fake"
    python = base(engine, PYTHON)
    with tempfile.TemporaryDirectory() as directory:
        context = Path(directory)
        (context / "tests").mkdir()
        for source in ("__init__", "fake_ollama", "fake_ollama_replies", "fake_ollama_script"):
            shutil.copy(ROOT / "tests" / f"{source}.py", context / "tests")
        (context / "ollama").write_text(_OLLAMA)
        (context / "ollama").chmod(0o755)
        (context / "Dockerfile").write_text(
            f"FROM {python}\nCOPY tests /srv/tests\nCOPY ollama /bin/ollama\nEXPOSE 11434\n"
            'ENTRYPOINT ["/bin/ollama"]\nCMD ["serve"]\n'
        )
        engine.docker("build", "--quiet", "--tag", tag, context, timeout=BUILD, DOCKER_BUILDKIT="0")
    return tag


_OLLAMA = """\
#!/bin/sh
# What upstream's `ollama serve` and `ollama list` look like from outside.
cd /srv || exit 1
case ${1-} in
    serve) exec python3 -B -m tests.fake_ollama --host 0.0.0.0 --port 11434 ;;
    list)
        asked=http://127.0.0.1:11434/api/tags
        exec python3 -c "from urllib.request import urlopen; urlopen('$asked', timeout=2)"
        ;;
    *) echo "ollama: the stand-in knows serve and list, not ${1-nothing}" >&2; exit 1 ;;
esac
"""


def clawbucket(engine: Engine, tag: str = "clawbucket-test/clawbucket:latest", picoclaw: str = "") -> str:
    """The project's own image, built from this clone by the classic builder; quick when little changed.

    The stage in which packages are installed is tagged as well: what has no tag is somebody's to prune.
    """
    for target, name in ((("--target", "build"), "clawbucket-test/build:latest"), ((), tag)):
        engine.docker(
            "build", "--quiet", "--tag", name, *target, *build_arguments(engine, picoclaw), ROOT,
            timeout=BUILD, DOCKER_BUILDKIT="0",
        )  # fmt: skip
    return tag


def build_arguments(engine: Engine, picoclaw: str = "") -> tuple[str, ...]:
    """``--build-arg`` for this machine: the base image, and what the host's own pip is told."""
    told = {"PYTHON_IMAGE": base(engine, PYTHON), "PICOCLAW_IMAGE": picoclaw}
    told |= {name: os.environ[name] for name in (*_PIP, *_PROXIES) if os.environ.get(name)}
    if os.environ.get("PIP_CERT") and _AUTHORITIES.exists():
        told["PIP_CERT"] = str(_AUTHORITIES)  # the base has a copy of it in the same place
    return tuple(word for name, value in told.items() for word in ("--build-arg", f"{name}={value}"))


def stand_in(engine: Engine, tag: str, *programs: str) -> str:
    """An image that holds nothing but a shell script at each of the paths, which prints its own name."""
    with tempfile.TemporaryDirectory() as directory:
        for program in programs:
            path = Path(directory) / program.removeprefix("/")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f'#!/bin/sh\necho "{path.name} stand-in $*"\n')
            path.chmod(0o755)
        (Path(directory) / "made-for").write_text("the tests of clawbucket\n")
        _tar_into(engine, Path(directory), "import", "-", tag)
    return tag


def _recipe_of(engine: Engine, tag: str) -> str | None:
    asked = engine.try_docker("image", "inspect", "--format", f'{{{{index .Config.Labels "{LABEL}"}}}}', tag)
    return asked.stdout.strip() if asked.returncode == 0 else None


def _debootstrap(root: Path, wanted: Base) -> None:
    """Make the root, in namespaces of its own.

    Where it is killed, so is all of it, and nothing stays mounted under a directory to be removed.
    """
    packages = cache() / "packages"
    packages.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(
        [
            "unshare", "--mount", "--pid", "--fork", "--kill-child",
            "debootstrap", "--variant=minbase", f"--cache-dir={packages}",
            f"--include={','.join(wanted.packages)}", SUITE, str(root),
        ],
        capture_output=True, text=True, timeout=BUILD, check=False,
    )  # fmt: skip
    if done.returncode != 0:
        said = (done.stdout + done.stderr).strip().splitlines()[-3:]
        raise Refusal(f"debootstrap could not make {wanted.tag}: {' | '.join(said)}", 1)
    for waste in _WASTE:
        shutil.rmtree(root / waste, ignore_errors=True)
    if _AUTHORITIES.exists():  # one of them may be the mirror's own
        target = root / _AUTHORITIES.relative_to("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(_AUTHORITIES, target)


def _import(engine: Engine, root: Path, wanted: Base) -> None:
    _tar_into(engine, root, "import", "--change", f"LABEL {LABEL}={wanted.recipe}", "-", wanted.tag)


def _tar_into(engine: Engine, root: Path, *arguments: str) -> None:
    with subprocess.Popen(["tar", "-C", str(root), "-c", "."], stdout=subprocess.PIPE) as tar:
        done = subprocess.run(
            ["docker", *arguments], stdin=tar.stdout, env=engine.environment(), capture_output=True,
            text=True, timeout=BUILD, check=False,
        )  # fmt: skip
    if done.returncode != 0 or tar.returncode != 0:
        raise Refusal(f"docker {' '.join(arguments)}: {done.stderr.strip()[-500:]}", 1)


def _keep(engine: Engine, tag: str, kept: Path) -> None:
    """Save the image for other engines, and drop what an older recipe made."""
    name = kept.name.rpartition("-")[0]
    unfinished = kept.with_suffix(f".{os.getpid()}")
    engine.docker("save", "--output", unfinished, tag, timeout=BUILD)
    for older in kept.parent.glob(f"{name}-*.tar"):
        older.unlink()
    unfinished.rename(kept)


def _pull(engine: Engine, wanted: Base) -> str:
    done = engine.try_docker("pull", "--quiet", wanted.upstream, timeout=BUILD)
    if done.returncode != 0:
        said = (done.stderr.strip().splitlines() or ["docker said nothing"])[-1]
        raise Refusal(
            f"the image {wanted.upstream} cannot be pulled ({said[:200]}), and debootstrap cannot make one "
            "here; run ./claw test as root on Debian, or leave these tests out: ./claw test --no-docker"
        )
    engine.docker("tag", wanted.upstream, wanted.tag)
    return wanted.tag
