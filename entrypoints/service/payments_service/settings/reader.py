"""Read a variable, or the file that it names, and note what is wrong."""

import re
from collections.abc import Callable, Iterable, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Final, TypeVar

import attrs

from payments_core.errors import InvalidValue

SECRET_FILE_BYTES_MAX: Final = 64 * 1024

_PREFIX: Final = "PAYMENTS_"
# These are read by others than `Settings`: by `payments dev`, by separate programs, by
# tests.
_READ_ELSEWHERE: Final = frozenset({"PAYMENTS_DEV_DIR", "PAYMENTS_POSTGRES_BIN"})
_PREFIXES_ELSEWHERE: Final = ("PAYMENTS_SANDBOX_", "PAYMENTS_TEST_")
# Kubernetes sets these in each pod, for each service of its namespace.
_LINK_NAME: Final = re.compile(
    r"PAYMENTS\w*_(?:SERVICE_(?:HOST|PORT(?:_\w+)?)"
    r"|PORT_[0-9]+_(?:TCP|UDP|SCTP)(?:_(?:PROTO|PORT|ADDR))?)"
)
_LINK_VALUE: Final = re.compile(r"(?:tcp|udp|sctp)://[0-9A-Fa-f.:\[\]]+:[0-9]+")

_T = TypeVar("_T")


class SettingsError(Exception):
    """The environment cannot be used; `problems` names each variable and the reason.

    `hint` is a line for a reader who has not set anything yet.
    """

    def __init__(self, problems: Mapping[str, str], hint: str | None = None) -> None:
        lines = [f"{name}: {reason}" for name, reason in problems.items()]
        super().__init__("\n".join([*lines, hint] if hint else lines))
        self.problems = dict(problems)


@attrs.frozen
class Reader:
    """An environment, which of its variables were read, and what was wrong with them.

    `serves`: the process answers callers, who must be verified.
    """

    env: Mapping[str, str]
    problems: dict[str, str] = attrs.field(factory=dict)
    serves: bool = attrs.field(default=True, kw_only=True)
    _names: set[str] = attrs.field(init=False, factory=set)

    def refuse_others(self, is_option: Callable[[str], bool]) -> None:
        """Note variables with our prefix that are no setting: a typo has no effect."""
        known = _READ_ELSEWHERE.union(*((it, f"{it}_FILE") for it in self._names))
        for name in sorted(it for it in self.env if it.startswith(_PREFIX)):
            if _LINK_NAME.fullmatch(name) or _LINK_VALUE.fullmatch(self.env[name]):
                self.problems[name] = (
                    "set by Kubernetes for a service, not a setting: put "
                    "enableServiceLinks: false in the pod's spec"
                )
            elif not (
                name in known or name.startswith(_PREFIXES_ELSEWHERE) or is_option(name)
            ):
                # Without the prefix that all of them share.
                words = [it.removeprefix(_PREFIX) for it in known]
                alike = get_close_matches(name.removeprefix(_PREFIX), words, 1)
                meant = f"; {_PREFIX}{alike[0]} is one" if alike else ""
                self.problems[name] = f"not a setting of this release{meant}"

    def required(self, name: str, read: Callable[[str], _T]) -> _T | None:
        value = self.get(name, read, None)
        if value is None:
            self.problems.setdefault(name, f"missing (or {name}_FILE, a path)")
        return value

    def to_serve(self, name: str, read: Callable[[str], _T], without: _T) -> _T | None:
        """Read a variable that is required of a process that serves."""
        if self.serves:
            return self.required(name, read)
        return self.get(name, read, without)

    def one_of(self, name: str, other: str, values: Iterable[object]) -> None:
        """Note that neither or both of two variables are given."""
        if {name, other} <= self.problems.keys():
            return
        if self.is_given(name) and self.is_given(other):
            self.problems[other] = f"given besides {name}: remove one of them"
        elif (
            self.serves and not self.problems.keys() & {name, other} and not any(values)
        ):
            self.problems[name] = f"missing (or {name}_FILE, a path, or {other})"

    def is_given(self, name: str) -> bool:
        return any(self.env.get(it, "").strip() for it in (name, f"{name}_FILE"))

    def get(self, name: str, read: Callable[[str], _T], default: _T) -> _T:
        """Read a variable or its `_FILE` variant; note what is wrong with it."""
        self._names.add(name)
        try:
            text = self._text(name)
            return default if text is None else read(text)
        except InvalidValue as error:
            self.problems[name] = error.reason
            return default
        except ValueError as error:
            self.problems[name] = str(error)
            return default

    def _text(self, name: str) -> str | None:
        path = self.env.get(f"{name}_FILE")
        text = self.env.get(name, "").strip()
        if not path:
            return text or None
        if text:
            raise ValueError(f"given twice: as {name} and as {name}_FILE")
        return file_text(Path(path), f"the file of {name}_FILE") or None


def file_text(path: Path, what: str) -> str:
    """Return the content of a small file.

    Raises:
        ValueError: the file cannot be read, or is too long.
    """
    try:
        with path.open("rb") as file:
            content = file.read(SECRET_FILE_BYTES_MAX + 1)
        text = content.decode().strip()
    except (OSError, ValueError) as error:
        # Without its name: it may be a secret that was put there by mistake.
        why = getattr(error, "strerror", None) or type(error).__name__
        raise ValueError(f"{what} cannot be read: {why}") from error
    if len(content) > SECRET_FILE_BYTES_MAX:
        raise ValueError(f"its file has more than {SECRET_FILE_BYTES_MAX} bytes")
    return text
