from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import yaml

from controller.cli import kubeconfig
from controller.cli.exit_codes import Exit, Failure
from controller.cli.kubeconfig import Place, find


def write(path: Path, *contexts: tuple[str, str | None], current: str | None = None) -> Path:
    """A kubeconfig with contexts and their namespaces."""
    body: dict[str, Any] = {
        "contexts": [
            {
                "name": name,
                "context": {"cluster": "c", "user": "u"} | ({"namespace": n} if n else {}),
            }
            for name, n in contexts
        ]
    }
    if current:
        body["current-context"] = current
    path.write_text(yaml.safe_dump(body))
    return path


def test_the_current_context_and_its_namespace_count(tmp_path: Path) -> None:
    """Without flags it is the current context, in the namespace that it names."""
    file = str(write(tmp_path / "k", ("a", "team"), ("b", None), current="a"))
    assert find(None, None, None, {"KUBECONFIG": file}) == Place(file, "a", "team")


def test_flags_go_before_what_the_file_says(tmp_path: Path) -> None:
    """A context or a namespace that is named by a flag is taken."""
    file = str(write(tmp_path / "k", ("a", "team"), ("b", None), current="a"))
    assert find(file, "b", None, {}) == Place(file, "b", "default")
    assert find(file, "a", "mine", {"KUBECONFIG": "/nowhere"}) == Place(file, "a", "mine")


def test_the_first_of_several_files_decides(tmp_path: Path) -> None:
    """Of the files in KUBECONFIG the first that names a context, or the current one, is taken; a missing or
    empty one is passed over."""
    first = write(tmp_path / "1", ("a", "one"))
    second = write(tmp_path / "2", ("a", "two"), ("b", "three"), current="b")
    third = write(tmp_path / "3", current="a")
    (tmp_path / "empty").write_text("")
    files = [tmp_path / "gone", tmp_path / "empty", first, second, third]
    environ = {"KUBECONFIG": os.pathsep.join(map(str, files))}
    read = os.pathsep.join(map(str, (first, second, third)))
    assert find(None, None, None, environ) == Place(read, "b", "three")
    assert find(None, "a", None, environ) == Place(read, "a", "one")


def test_the_home_directory_is_the_last_resort(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With nothing said it is ~/.kube/config."""
    (tmp_path / ".kube").mkdir()
    file = str(write(tmp_path / ".kube/config", ("a", None), current="a"))
    monkeypatch.setenv("HOME", str(tmp_path))
    assert find(None, None, None, {}) == Place(file, "a", "default")


def test_a_pod_uses_its_own_cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a Pod without a kubeconfig it is the Pod's cluster and namespace, as for kubectl."""
    mounted = tmp_path / "namespace"
    mounted.write_text("ci\n")
    monkeypatch.setattr(kubeconfig, "POD_NAMESPACE", mounted)
    environ = {"KUBERNETES_SERVICE_HOST": "10.0.0.1", "KUBECONFIG": str(tmp_path / "gone")}
    place = find(None, None, None, environ)
    assert place == Place(None, None, "ci")
    assert str(place) == "this Pod's cluster"
    with pytest.raises(Failure):
        find(None, "a", None, environ)


def test_what_cannot_be_used_is_said(tmp_path: Path) -> None:
    """A kubeconfig that is missing, unreadable, or without the context is a mistake in one sentence."""
    good = str(write(tmp_path / "good", ("a", None), ("b", None)))
    (tmp_path / "bad").write_text("contexts: 1\n")
    (tmp_path / "worse").write_text("{")
    (tmp_path / "folder").mkdir()
    for file, context, sentence in (
        (tmp_path / "gone", None, f"there is no kubeconfig at {tmp_path}/gone"),
        (tmp_path / "bad", None, "bad: is no kubeconfig: Expected `array | null`"),
        (tmp_path / "worse", None, "worse: is no kubeconfig: "),
        (tmp_path / "folder", None, "folder: cannot be read: Is a directory"),
        (good, None, "has no current context: give --context NAME"),
        (good, "c", f"there is no context c in {good}; there are: a, b"),
    ):
        with pytest.raises(Failure) as failure:
            find(str(file), context, None, {})
        assert failure.value.code == Exit.USAGE
        assert sentence in failure.value.sentences[0]
        assert "\n" not in failure.value.sentences[0]


@pytest.mark.parametrize(
    ("user", "cluster", "sentence"),
    [
        ({"as": "admin"}, {}, 'context a: the user "u" of the kubeconfig has as, and nobody is'),
        ({"as-groups": ["g"]}, {}, "has as-groups"),
        ({"auth-provider": {"name": "azure"}}, {}, "auth-provider azure: use its exec plugin"),
        (
            {},
            {"proxy-url": "socks5://me:secret@10.0.0.1:1080"},
            'the proxy-url of the cluster of "u"',
        ),
    ],
)
def test_what_is_not_supported_is_refused_before_anything_is_asked(
    tmp_path: Path, user: dict[str, Any], cluster: dict[str, Any], sentence: str
) -> None:
    """A context that acts as somebody else, or goes by another kind of proxy, is refused, also as the other one."""
    file = write(tmp_path / "k", ("a", None), ("b", None), current="a")
    body = yaml.safe_load(file.read_text())
    body |= {
        "users": [{"name": "u", "user": user}],
        "clusters": [{"name": "c", "cluster": cluster}],
    }
    file.write_text(yaml.safe_dump(body))
    with pytest.raises(Failure) as this:
        find(str(file), None, None, {})
    with pytest.raises(Failure) as other:
        kubeconfig.other(Place(str(file), "b", "default"), "a")
    for failure in (this.value, other.value):
        assert failure.code == Exit.USAGE
        assert sentence in failure.sentences[0]
        assert "secret" not in failure.sentences[0]
