"""What names, labels and annotations may look like, in the API server's own sentences.

The rules are those of k8s.io/apimachinery/pkg/util/validation as kube-apiserver 1.36 applies them:
since 1.34's relaxed names a Service is an RFC 1123 label, so `1a` is one and `serviceA` is not.
"""

from __future__ import annotations

import re
from typing import Any

from deploy.stand_ins.apiserver.failures import Cause
from deploy.stand_ins.apiserver.resources import Resource

_LABEL = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_SUBDOMAIN = rf"{_LABEL}(\.{_LABEL})*"
_QUALIFIED = r"([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]"
_VALUE = rf"({_QUALIFIED})?"

_LABEL_SENTENCE = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and "
    "must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used "
    f"for validation is '{_LABEL}')"
)
_SUBDOMAIN_SENTENCE = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or "
    "'.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used "
    f"for validation is '{_SUBDOMAIN}')"
)
_KEY_SENTENCE = (
    "a valid label key must consist of alphanumeric characters, '-', '_' or '.', and must start "
    "and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex "
    f"used for validation is '{_QUALIFIED}') with an optional DNS subdomain prefix and '/' (e.g. "
    "'example.com/MyName')"
)
_VALUE_SENTENCE = (
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', "
    "and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or "
    f"'12345', regex used for validation is '{_VALUE}')"
)
_ANNOTATIONS_LIMIT_BYTES = 256 * 1024


def _invalid(field: str, value: str, sentence: str) -> Cause:
    return Cause("FieldValueInvalid", f'Invalid value: "{value}": {sentence}', field)


def name_causes(resource: Resource, name: str) -> list[Cause]:
    """Return what is wrong with an object's name; nothing when it may be used."""
    if not resource.name_is_label:
        if len(name) > 253:
            return [_invalid("metadata.name", name, "must be no more than 253 characters")]
        if re.fullmatch(_SUBDOMAIN, name):
            return []
        return [_invalid("metadata.name", name, _SUBDOMAIN_SENTENCE)]
    if len(name) > 63:
        return [_invalid("metadata.name", name, "must be no more than 63 characters")]
    if "." in name:
        return [_invalid("metadata.name", name, "must not contain dots")]
    return [] if re.fullmatch(_LABEL, name) else [_invalid("metadata.name", name, _LABEL_SENTENCE)]


def _is_key(key: str) -> bool:
    prefix, slash, name = key.rpartition("/")
    if slash and not (len(prefix) <= 253 and re.fullmatch(_SUBDOMAIN, prefix)):
        return False
    return len(name) <= 63 and re.fullmatch(_QUALIFIED, name) is not None


def metadata_causes(metadata: dict[str, Any]) -> list[Cause]:
    """Return what is wrong with labels and annotations."""
    causes: list[Cause] = []
    for key, value in (metadata.get("labels") or {}).items():
        if not _is_key(key):
            causes.append(_invalid("metadata.labels", key, _KEY_SENTENCE))
        if len(value) > 63:
            sentence = "must be no more than 63 characters"
            causes.append(_invalid("metadata.labels", value, sentence))
        elif not re.fullmatch(_VALUE, value):
            causes.append(_invalid("metadata.labels", value, _VALUE_SENTENCE))
    annotations: dict[str, str] = metadata.get("annotations") or {}
    causes += [
        _invalid("metadata.annotations", key, _KEY_SENTENCE)
        for key in annotations
        if not _is_key(key.lower())
    ]
    size = sum(len(key.encode()) + len(value.encode()) for key, value in annotations.items())
    if size > _ANNOTATIONS_LIMIT_BYTES:
        sentence = f"Too long: may not be more than {_ANNOTATIONS_LIMIT_BYTES} bytes"
        causes.append(Cause("FieldValueTooLong", sentence, "metadata.annotations"))
    return causes


def texts_only(metadata: dict[str, Any]) -> bool:
    """Return whether labels and annotations are maps of strings, as their type demands."""
    maps = (metadata.get("labels") or {}, metadata.get("annotations") or {})
    return all(
        isinstance(texts, dict) and all(isinstance(value, str) for value in texts.values())
        for texts in maps
    )
