"""What a handler is given that the container made."""

from typing import Annotated, TypeAlias, TypeVar

from litestar.di import Dependency
from litestar.params import SkipValidationMarker

_T = TypeVar("_T")

# A dependency by its name. It is not validated at each request: msgspec takes no
# instance of a subclass for one of an attrs class, as a measured use case is; that each
# handler gets what it names is a test.
Wired: TypeAlias = Annotated[_T, Dependency(kind="named"), SkipValidationMarker()]
