"""``python -m deploy.release``: wheel, sdist, chart, kubectl-migrate, its krew manifest, SBOMs and checksums."""

from __future__ import annotations

import argparse
import gzip
import hashlib
import io
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import tomllib
from pathlib import Path

import yaml

from deploy.release import one_file

DIST = Path("dist")
CHART = Path("deploy/chart")
REGISTRY = "registry.example.com/mesh-migrate"
"""What the chart in the repository names; a release names its own."""
DOWNLOADS = "https://example.com/mesh-migrate/releases/download"
EPOCH = 315532800
"""1 January 1980, the first day of zip files: what is built twice is the same."""
OF_IMAGES = {"controller": "controller", "prober": "http2", "kubectl-migrate": "cli"}
"""What an SBOM is written of, and the lock that says what is in it."""


def main() -> None:
    """Build all into dist/, and say what is there. A mistake is one sentence on stderr, and exit code 2."""
    asked = _arguments()
    version = _version()
    if asked.tag and asked.tag != f"v{version}":
        sys.exit(
            _mistake(f"the tag is {asked.tag} and pyproject.toml has {version}: tag v{version}")
        )
    notes = changes(Path("CHANGELOG.md").read_text(), version)
    if notes is None:
        sys.exit(_mistake(f"CHANGELOG.md has no section [{version}]: cut it from Unreleased"))
    shutil.rmtree(DIST, ignore_errors=True)
    DIST.mkdir()
    (DIST / "NOTES.md").write_text(notes)
    _build(version, asked.registry, f"{asked.downloads}/v{version}")
    for path in sorted(DIST.iterdir()):
        sys.stdout.write(f"{path.stat().st_size / 1e6:8.2f} MB  {path}\n")
    sys.stdout.write("nothing is signed and nothing is published\n")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m deploy.release", description=__doc__)
    parser.add_argument(
        "--tag", default="", help="the tag to release; it must be pyproject's version"
    )
    parser.add_argument("--registry", default=REGISTRY, help="where the images of the chart are")
    parser.add_argument("--downloads", default=DOWNLOADS, help="where krew finds the releases")
    return parser.parse_args()


def _mistake(sentence: str) -> int:
    sys.stderr.write(f"deploy.release: {sentence}\n")
    return 2


def _version() -> str:
    """Return the one version that everything has."""
    return str(tomllib.loads(Path("pyproject.toml").read_text())["project"]["version"])


def changes(changelog: str, version: str) -> str | None:
    """Return what the changelog says of a version, None where it says nothing."""
    found = re.search(
        rf"^## \[{re.escape(version)}\].*\n(?P<text>(?:(?!^## ).*\n)*)", changelog, re.MULTILINE
    )
    return found["text"].strip() + "\n" if found else None


def _build(version: str, registry: str, downloads: str) -> None:
    """Raises CalledProcessError where one of the builders says no; it has said why by then."""
    environ = {**os.environ, "SOURCE_DATE_EPOCH": str(EPOCH)}
    command = [sys.executable, "-m", "hatchling", "build", "--directory", str(DIST)]
    subprocess.run(command, check=True, env=environ)  # noqa: S603 - ours
    (wheel,) = DIST.glob("*.whl")
    plugin = DIST / "kubectl-migrate"
    with tempfile.TemporaryDirectory() as folder:
        _chart(Path(folder), version, registry)
        one_file.build(wheel.resolve(), Path(folder), plugin, environ)
    archive = DIST / f"kubectl-migrate-{version}.tar.gz"
    archive.write_bytes(packed({"kubectl-migrate": plugin, "LICENSE": Path("LICENSE")}))
    digest = hashlib.sha256(archive.read_bytes()).hexdigest()
    manifest = krew(version, f"{downloads}/{archive.name}", digest)
    (DIST / "migrate.yaml").write_text(yaml.safe_dump(manifest, sort_keys=False))
    for name, lock in OF_IMAGES.items():
        command = [sys.executable, "-m", "cyclonedx_py", "requirements", "--output-reproducible"]
        command += ["--pyproject=pyproject.toml", f"--output-file={DIST / name}.cdx.json"]
        subprocess.run([*command, f"requirements/{lock}.txt"], check=True)  # noqa: S603 - ours
    lines = [
        f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n"
        for path in sorted(DIST.iterdir())
    ]
    (DIST / "SHA256SUMS").write_text("".join(lines))


def _chart(folder: Path, version: str, registry: str) -> None:
    """Package the chart as of this version, with the registry where its images are."""
    chart = folder / "mesh-migrate"
    shutil.copytree(CHART, chart)
    values = chart / "values.yaml"
    values.write_text(values.read_text().replace(REGISTRY, registry))
    helm = shutil.which("helm", path=f".tools/bin:{os.environ['PATH']}") or "helm"
    command = [helm, "package", str(chart), f"--destination={DIST}"]
    command += [f"--version={version}", f"--app-version={version}"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)  # noqa: S603 - ours


def packed(files: dict[str, Path]) -> bytes:
    """Return a .tar.gz of these files, by the names in it; the same whenever it is made."""
    tarred = io.BytesIO()
    with tarfile.open(fileobj=tarred, mode="w") as archive:
        for name, path in files.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mtime = path.stat().st_size, EPOCH
            entry.mode = 0o755 if os.access(path, os.X_OK) else 0o644
            archive.addfile(entry, io.BytesIO(path.read_bytes()))
    return gzip.compress(tarred.getvalue(), mtime=0)


def krew(version: str, uri: str, digest: str) -> dict[str, object]:
    """Return the krew manifest of the plugin, for an archive by its address and its SHA-256."""
    platforms = [{"os": "linux"}, {"os": "darwin", "arch": "arm64"}]
    return {
        "apiVersion": "krew.googlecontainertools.github.com/v1alpha2",
        "kind": "Plugin",
        "metadata": {"name": "migrate"},
        "spec": {
            "version": f"v{version}",
            "homepage": uri.partition("/releases/")[0],
            "shortDescription": "Moves Services between two Linkerd clusters",
            "description": "Starts, watches, explains and rolls back migrations. Needs Python 3.11 or newer.\n",
            "platforms": [
                {
                    "selector": {"matchLabels": labels},
                    "uri": uri,
                    "sha256": digest,
                    "bin": "kubectl-migrate",
                    "files": [{"from": name, "to": "."} for name in ("kubectl-migrate", "LICENSE")],
                }
                for labels in platforms
            ],
        },
    }


if __name__ == "__main__":
    main()
