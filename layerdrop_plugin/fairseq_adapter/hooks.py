"""Put a function of ours around one of fairseq's."""

import functools
from typing import Any, Callable


def wrap(owner: Any, name: str, wrapper: Callable[..., Any]) -> None:
    """Replace `owner.name` by `wrapper`, which gets the original first, then the arguments.

    A second call changes nothing.
    """
    stock = getattr(owner, name)
    if hasattr(stock, "layerdrop_wrapper"):
        return

    @functools.wraps(stock)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        return wrapper(stock, *args, **kwargs)

    wrapped.layerdrop_wrapper = wrapper  # type: ignore[attr-defined]
    setattr(owner, name, wrapped)
