"""
Builds the images with the Dockerfiles of the repository and keeps them as one tar under .cache/swarm.

Runs in namespaces of its own, started by `tests.swarm.__main__`; the daemon that builds ends with it. The network of
the build has nothing in it: all comes from the base and the wheels.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from tests.requirements import ROOT
from tests.swarm.base import BASE, CACHE, WHEELS
from tests.swarm.nodes import Failed, Node, make_bridge

IMAGES = CACHE / "images.tar"
STAMP = CACHE / "images.made-of"

CONTEXT = (
    "dfproxy",
    "twisted",
    "contrib/ready.py",
    "setup.cfg",
    "pyproject.toml",
    "README.md",
    "LICENSE",
    "MANIFEST.in",
)
"""
What the build of the proxy is given; .dockerignore says the same.
"""


def sources() -> Iterator[Path]:
    """
    Every file that the images are made of.
    """
    inside = ("Dockerfile", ".dockerignore", *CONTEXT, "demo", "tests/swarm/listener.py", "tests/swarm/Dockerfile")
    for name in inside:
        place = ROOT / name
        for path in sorted(place.rglob("*")) if place.is_dir() else (place,):
            if path.is_file() and "__pycache__" not in path.parts and path.name != "dropin.cache":
                yield path


def made_of() -> str:
    """
    A digest of all that the images are made of.
    """
    digest = hashlib.sha256((WHEELS / ".wanted").read_bytes())
    digest.update(str(BASE.stat().st_mtime_ns).encode())
    for path in sources():
        digest.update(f"{path.relative_to(ROOT)}\0".encode() + path.read_bytes())
    return digest.hexdigest()


def build(node: Node) -> None:
    """
    Build all images on a node and save them.
    """
    began = time.monotonic()
    node.docker("import", str(BASE), "dfproxy-base", limit_s=300)
    print(f"base imported: {time.monotonic() - began:.1f} s", flush=True)
    context = Path(tempfile.mkdtemp(dir=node.folder))
    for name in ("Dockerfile", ".dockerignore", *CONTEXT):
        (context / name).parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, context / name, ignore=shutil.ignore_patterns("__pycache__", "dropin.cache"))
        else:
            shutil.copy2(ROOT / name, context / name)
    shutil.copytree(WHEELS, context / "wheels")
    for name, file, folder in (
        ("dfproxy", context / "Dockerfile", context),
        ("go-demo", ROOT / "demo" / "Dockerfile", ROOT / "demo"),
        ("listener-stand-in", ROOT / "tests" / "swarm" / "Dockerfile", ROOT / "tests" / "swarm"),
    ):
        began = time.monotonic()
        arguments = ("build", "--build-arg", "BASE=dfproxy-base", "--network", "none", "--tag", f"{name}:1")
        node.docker(*arguments, "--tag", f"{name}:latest", "--file", str(file), str(folder), limit_s=300)
        size = int(node.docker("image", "inspect", "--format", "{{.Size}}", name)) / 1e6
        print(f"{name}: docker build --build-arg BASE=...: {time.monotonic() - began:.1f} s, {size:.0f} MB", flush=True)
    # A second version of the demo, for rolling updates: another image, not only another name.
    second = ("--tag", "go-demo:2", "--label", "version=2")
    node.docker("build", "--build-arg", "BASE=dfproxy-base", "--network", "none", *second, str(ROOT / "demo"))
    part = IMAGES.with_suffix(".part")
    names = ("dfproxy:1", "dfproxy:latest", "go-demo:1", "go-demo:latest", "go-demo:2")
    node.docker("save", "--output", str(part), *names, "listener-stand-in:1", "listener-stand-in:latest", limit_s=300)
    os.replace(part, IMAGES)


def main(folder: str) -> int:
    """
    Build them unless they are there already.
    """
    wanted = made_of()
    if IMAGES.exists() and STAMP.exists() and STAMP.read_text() == wanted:
        print(f"images are as the sources: {IMAGES.relative_to(ROOT)}", flush=True)
        return 0
    STAMP.unlink(missing_ok=True)
    make_bridge()
    node = Node(Path(folder), 1)
    try:
        node.start()
        build(node)
    except Failed as failed:
        print(f"the images cannot be built: {failed}", flush=True)
        return 1
    finally:
        node.stop()
    STAMP.write_text(wanted)
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
