"""How long to wait before a retry."""

import attrs


@attrs.define
class BackOff:
    """Waits, in seconds: `first_s`, then twice as long each time, at most `max_s`."""

    first_s: float
    max_s: float
    _next_s: float = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.reset()

    def wait_s(self) -> float:
        """Return how long to wait after one more failure."""
        wait_s = self._next_s
        self._next_s = min(2 * wait_s, self.max_s)
        return wait_s

    def reset(self) -> None:
        """Start again after a success."""
        self._next_s = self.first_s
