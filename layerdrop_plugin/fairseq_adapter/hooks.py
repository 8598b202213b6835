"""Put a function of ours around one of fairseq's."""

import functools
from typing import Any, Callable


def wrap(owner: Any, name: str, wrapper: Callable[..., Any]) -> None:
    """Replace `owner.name` by `wrapper`, which gets the original first, then the arguments.

    Several wrappers may go around one function, the last one outermost. A second call with one changes nothing.
    """
    stock = getattr(owner, name)
    around = getattr(stock, "layerdrop_wrappers", ())
    if wrapper in around:
        return

    @functools.wraps(stock)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        return wrapper(stock, *args, **kwargs)

    wrapped.layerdrop_wrappers = (*around, wrapper)  # type: ignore[attr-defined]
    setattr(owner, name, wrapped)
