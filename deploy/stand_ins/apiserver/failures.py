"""What the API server answers when it does not do as told: Status objects, as exceptions.

Reasons, codes and sentences are those of kube-apiserver 1.36, read off a running one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from deploy.stand_ins.apiserver.resources import Resource


@dataclass(frozen=True, slots=True)
class Cause:
    """One thing wrong with one field, e.g. ("FieldValueRequired", "Required value", "spec.ports")."""

    reason: str
    message: str
    field: str


class ApiError(Exception):
    """An answer other than success; `body` is the Status, `code` its HTTP status."""

    def __init__(
        self,
        code: int,
        reason: str,
        message: str,
        details: dict[str, Any] | None = None,
        metadata: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.body: dict[str, Any] = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": metadata or {},
            "status": "Failure",
            "message": message,
            "reason": reason,
            "code": code,
        }
        if details is not None:
            self.body["details"] = details
        seconds = (details or {}).get("retryAfterSeconds")
        self.headers = {} if seconds is None else {"Retry-After": str(seconds)}


def _details(resource: Resource, name: str, kind: str) -> dict[str, Any]:
    return {"name": name} | ({"group": resource.group} if resource.group else {}) | {"kind": kind}


def not_found(resource: Resource, name: str) -> ApiError:
    """404 for an object."""
    return ApiError(
        404,
        "NotFound",
        f'{resource.qualified} "{name}" not found',
        _details(resource, name, resource.plural),
    )


def unknown_path() -> ApiError:
    """404 for a resource, group or version that is not served."""
    return ApiError(404, "NotFound", "the server could not find the requested resource", {})


def method_not_allowed() -> ApiError:
    """405, e.g. a PUT of a collection."""
    return ApiError(
        405,
        "MethodNotAllowed",
        "the server does not allow this method on the requested resource",
        {},
    )


def already_exists(resource: Resource, name: str) -> ApiError:
    """409 on create."""
    return ApiError(
        409,
        "AlreadyExists",
        f'{resource.qualified} "{name}" already exists',
        _details(resource, name, resource.plural),
    )


def conflict(
    resource: Resource,
    name: str,
    why: str = "the object has been modified; please apply your changes to the latest version and "
    "try again",
) -> ApiError:
    """409 for a stale resourceVersion or another object's uid."""
    return ApiError(
        409,
        "Conflict",
        f'Operation cannot be fulfilled on {resource.qualified} "{name}": {why}',
        _details(resource, name, resource.plural),
    )


def invalid(resource: Resource, name: str, causes: list[Cause]) -> ApiError:
    """422 with every cause, as the validation of kube-apiserver gives them."""
    kind = f"{resource.kind}.{resource.group}" if resource.group else resource.kind
    told = [f"{cause.field}: {cause.message}" for cause in causes]
    listed = told[0] if len(told) == 1 else f"[{', '.join(told)}]"
    details = _details(resource, name, resource.kind)
    details["causes"] = [
        {"reason": cause.reason, "message": cause.message, "field": cause.field} for cause in causes
    ]
    return ApiError(422, "Invalid", f'{kind} "{name}" is invalid: {listed}', details)


def rejected_patch() -> ApiError:
    """422 for a JSON patch whose test fails or whose path is not there."""
    return ApiError(
        422, "Invalid", "the server rejected our request due to an error in our request", {}
    )


def bad_request(message: str) -> ApiError:
    """400 with the sentence."""
    return ApiError(400, "BadRequest", message)


def unsupported_media_type(accepted: tuple[str, ...]) -> ApiError:
    """415, e.g. a strategic merge patch of a custom resource."""
    return ApiError(
        415,
        "UnsupportedMediaType",
        "the body of the request was in an unknown format - accepted media types include: "
        + ", ".join(accepted),
    )


def unauthorized() -> ApiError:
    """401 for a missing or wrong bearer token."""
    return ApiError(401, "Unauthorized", "Unauthorized")


def expired_version(asked: int, oldest: int) -> ApiError:
    """410 for a watch or an exact list from before the kept history."""
    return ApiError(410, "Expired", f"too old resource version: {asked} ({oldest})")


def expired_continue(fresh_token: str) -> ApiError:
    """410 for a continue token from before the kept history, with one that goes on regardless."""
    return ApiError(
        410,
        "Expired",
        "The provided continue parameter is too old to display a consistent list result. You can "
        "start a new list without the continue parameter, or use the continue token in this "
        "response to retrieve the remainder of the results. Continuing with the provided token "
        "results in an inconsistent list - objects that were created, modified, or deleted between "
        "the time the first chunk was returned and now may show up in the list.",
        metadata={"continue": fresh_token},
    )


def version_in_the_future(asked: int, current: int) -> ApiError:
    """504 for a resourceVersion this server has not reached."""
    return ApiError(
        504,
        "Timeout",
        f"Timeout: Too large resource version: {asked}, current: {current}",
        {
            "causes": [
                {"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}
            ],
            "retryAfterSeconds": 1,
        },
    )
