"""Files that no torch.save wrote: how each is written of a good state, and what the one line says of it.

Adding a case is adding a row.
"""

from __future__ import annotations

import io
import pickle
import struct
import tarfile
import zipfile

import torch


def zipped(path, content, kind=zipfile.ZIP_STORED):
    """Write a file in the form of torch.save, with this pickle."""
    with zipfile.ZipFile(path, "w", kind) as file:
        file.writestr("archive/data.pkl", content)
        file.writestr("archive/version", "3\n")


def compressed(path, state):
    zipped(path, b"\x80\x02X" + struct.pack("<I", 100 * 2**20) + bytes(100 * 2**20) + b".", zipfile.ZIP_DEFLATED)


def oversized(path, state):
    zipped(path, b"\x80\x02X" + struct.pack("<I", 17 * 10**6) + bytes(17 * 10**6) + b".")


def many_values(path, state):
    zipped(path, b"\x80\x02](" + b"}" * 5 * 10**6 + b"e.")


def room(path, state):
    """A bytearray of a terabyte, in forty bytes."""
    zipped(path, b"\x80\x02c__builtin__\nbytearray\n\x8a\x06" + struct.pack("<Q", 10**12)[:6] + b"\x85R.")


def marks(path, state):
    """A place for a value that would make pickle's own reader take 16 GB."""
    zipped(path, b"\x80\x02}r" + struct.pack("<I", 10**9) + b".")


def other_module(path, state):
    """A module that is imported for an object of the name of a type of numbers."""
    zipped(path, b"\x80\x02cthis\nfloat32\n.")


def text(value):
    return b"X" + struct.pack("<I", len(value)) + value.encode()


def call(name, *arguments):
    """The operations of pickle that call an object with these arguments, operations themselves."""
    module, _, attribute = name.rpartition(".")
    return f"c{module}\n{attribute}\n(".encode() + b"".join(arguments) + b"tR"


def pickled(operations):
    """Return a function that writes a file whose pickle has these operations only."""
    return lambda path, state: zipped(path, b"\x80\x02" + operations + b".")


TYPE = call("numpy.dtype", text("V8"))
ORDERED = b"ccollections\nOrderedDict\n)R"


def doubled(value, times):
    """A tuple of this value and a tuple, and so on: whoever hashes it comes to 2 ** `times` values."""
    return value + b"q\x00" + b"h\x00\x86q\x00" * times


def legacy(path, state, keys):
    """Write a file as before torch 1.6, with a list of these keys of tensors' memory."""
    torch.save(torch.ones(2), path, _use_new_zipfile_serialization=False)
    content = path.read_bytes()
    path.write_bytes(content[: content.rindex(b"\x80\x02]")] + pickle.dumps(keys, 2))


HOOKED = (
    b"(" + text("storage") + b"ctorch\nFloatStorage\n" + text("0") + text("cpu") + b"K\x01tQ",
    *(b"K\x00", b"K\x01\x85", b"K\x01\x85", b"\x89", b"}" + text("hook") + b"Ns"),
)
"""What a tensor of one number is made of, with a hook."""


def with_hook(path, state):
    """Torch would call it, and fail to save it."""
    weights = b"}" + text("w") + call("torch._utils._rebuild_tensor_v2", *HOOKED) + b"s"
    zipped(path, b"\x80\x02}(" + text("cfg") + b"}" + text("model") + weights + b"u.")
    with zipfile.ZipFile(path, "a") as file:
        file.writestr("archive/data/0", bytes(4))


def sparse(path, state):
    torch.save({**state, "model": {"w": torch.ones(2, 2).to_sparse()}}, path)


def newer_pickle(path, state):
    torch.save(state, path, pickle_protocol=4)


def plain_pickle(path, state):
    path.write_bytes(pickle.dumps(state["cfg"], 2))


def script(path, state):
    torch.jit.save(torch.jit.script(torch.nn.Linear(2, 2)), path)


def beyond(path, state):
    """A tensor that says that it has more numbers than the file."""
    buffer = io.BytesIO()
    torch.save({**state, "model": {"w": torch.arange(200.0)}}, buffer)
    with zipfile.ZipFile(buffer) as read, zipfile.ZipFile(path, "w") as write:
        for name in read.namelist():
            write.writestr(name, read.read(name).replace(b"K\xc8", b"M\xff\xff"))


def with_entry(name):
    """Return a function that writes a checkpoint with one entry more."""

    def write(path, state):
        torch.save(state, path)
        with zipfile.ZipFile(path) as file:
            folder = file.namelist()[0].partition("/")[0]
        with zipfile.ZipFile(path, "a") as file:
            file.writestr(name.replace("archive", folder), "x")

    return write


def emptied(path, state):
    """One of ten tensors is not there."""
    buffer = io.BytesIO()
    torch.save({**state, "model": {f"{i}": torch.ones(1024) for i in range(10)}}, buffer)
    with zipfile.ZipFile(buffer) as read, zipfile.ZipFile(path, "w") as write:
        for name in read.namelist():
            write.writestr(name, b"" if name.endswith("data/3") else read.read(name))


def tarred(path, state):
    """What torch.save wrote in 2016, with nothing in it."""
    with tarfile.open(path, "w") as file:
        file.addfile(tarfile.TarInfo("pickle"))


def two_pickles(path, state):
    torch.save(state, path)
    with zipfile.ZipFile(path, "a") as file:
        file.writestr("other/data.pkl", b"\x80\x02}.")


DAMAGED = "is damaged or no checkpoint at all"
FILES = (
    ("a bomb", compressed, "has 104,857,610 bytes, which is more than 16 times its size"),
    ("a large pickle", oversized, "has 17,000,008 bytes beside its tensors, which must be no more than 16,777,216"),
    ("many values", many_values, "has beside its tensors more than 4,194,304 values, or than 16,777,216 bytes"),
    ("a terabyte in forty bytes", room, "holds builtins.bytearray; if you trust the file, set"),
    ("a far place", marks, DAMAGED),
    ("another module", other_module, "holds this.float32; if you trust the file, set"),
    ("another protocol", newer_pickle, "is in protocol 4 of pickle, which must be 2, as torch.save has it"),
    ("no file of torch", plain_pickle, DAMAGED),
    ("a program of TorchScript", script, "is a program of TorchScript"),
    ("a program below a checkpoint", with_entry("archive/code/__torch__.py"), "is a program of TorchScript"),
    (
        "a foreign entry",
        with_entry("archive/setup.py"),
        "has 'setup.py' in its archive, which torch.save does not write",
    ),
    ("an entry beyond the folder", with_entry("../x"), "has 'x' in its archive, which torch.save does not write"),
    ("two folders", with_entry("other/version"), DAMAGED),
    ("an archive of tar", tarred, DAMAGED),
    ("an emptied tensor", emptied, DAMAGED),
    ("a tensor that is not there", lambda *args: legacy(*args, []), DAMAGED),
    ("a tensor's strange name", lambda *args: legacy(*args, [(1,)]), DAMAGED),
    ("a tensor beyond the file", beyond, DAMAGED),
    ("two contents", two_pickles, DAMAGED),
    ("a tensor with a hook", with_hook, "has a tensor with hooks"),
    ("a sparse tensor", sparse, "holds torch._utils._rebuild_sparse_tensor, torch.serialization._get_layout; if you"),
    ("a number of many digits", pickled(b"\x8b" + struct.pack("<I", 10**5) + b"\x7f" * 10**5), DAMAGED),
    (
        "a text that doubles",
        pickled(call("_codecs.encode", text("a"), text("hex"))),
        "encodes what is not text in latin1",
    ),
    (
        "a name that doubles",
        pickled(b"}" + doubled(b")", 26) + b"Ns"),
        "has names in a dict that are not plain",
    ),
    (
        "a pair's name that doubles",
        pickled(call("collections.OrderedDict", b"](" + doubled(b")", 26) + b"N\x86e")),
        "has names in a dict that are not plain",
    ),
    (
        "names that are chosen alike",
        pickled(b"}(" + b"".join(b"M" + struct.pack("<H", i) + b"\x85N" for i in range(10_001)) + b"u"),
        "has names in a dict that are not plain",
    ),
    (
        "numbers that are chosen alike",
        pickled(b"}\x8a\x09" + bytes(8) + b"\x01Ns"),
        "has names in a dict that are not plain",
    ),
    ("a structure of numbers", pickled(TYPE), "has a type of numbers that no checkpoint has"),
    (
        "text that is none",
        pickled(
            call(
                "numpy.core.multiarray.scalar",
                call("numpy.dtype", text("U1")),
                call("_codecs.encode", text("abcd"), text("latin1")),
            )
        ),
        "has text of numpy that is not valid",
    ),
    (
        "an array of any size",
        pickled(call("numpy.ndarray", b"J\xff\xff\xff\x7f")),
        "calls ndarray, which no checkpoint does",
    ),
    (
        "memory of any size",
        pickled(call("torch.storage.TypedStorage", b"J\xff\xff\xff\x7f")),
        "calls TypedStorage, which no checkpoint does",
    ),
    (
        "a number made of text",
        pickled(call("__builtin__.int", text("9" * 4000))),
        "calls int, which no checkpoint does",
    ),
    (
        "a dict without methods",
        pickled(ORDERED + b"}" + text("values") + b"K\x01sb"),
        "has attributes of OrderedDict that it can't have",
    ),
    (
        "a function that is changed",
        pickled(b"ctorch._utils\n_rebuild_tensor\nN}" + text("__defaults__") + b"Ns\x86b"),
        "changes a function, which no checkpoint does",
    ),
    (
        "items of a shape",
        pickled(call("torch.Size", b")") + b"K\x00K\x01s"),
        "puts items into a Size, which no checkpoint does",
    ),
)
"""What it is; what writes it, to a path, of a good state; what the line says of the file."""
