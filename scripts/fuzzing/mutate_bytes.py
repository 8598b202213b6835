"""Change a checkpoint as a file: bytes, the archive that it is, and the pickle in it."""

from __future__ import annotations

import io
import pickle
import random
import struct
import warnings
import zipfile
from typing import Callable

Change = tuple[bytes, str]

CODE = "open('canary/ran', 'w')"


def mutate(content: bytes, draw: random.Random) -> Change:
    """Return a changed file, and what was changed."""
    return draw.choice([_flip, _flip, _truncate, _insert, _overwrite, _archive, _archive, _pickle, _pickle, _alone])(
        content, draw
    )


def _flip(content: bytes, draw: random.Random) -> Change:
    found = bytearray(content)
    count = draw.choice([1, 1, 3, 10, 100, 1000])
    end = draw.choice([len(found), 4000, 200])  # the pickle stands at the front
    for _ in range(count):
        found[draw.randrange(min(end, len(found)))] ^= 1 << draw.randrange(8)
    return bytes(found), f"{count} bits of the first {end} bytes flipped"


def _truncate(content: bytes, draw: random.Random) -> Change:
    left = draw.choice([0, 1, 4, 100, 1000, draw.randrange(len(content)), len(content) - 1, len(content) - 30])
    return content[:left], f"cut to {left} bytes"


def _insert(content: bytes, draw: random.Random) -> Change:
    place = draw.choice([0, 1, 30, draw.randrange(len(content)), len(content)])
    extra = draw.choice([b"\0", b"PK\x03\x04", b"\n", draw.randbytes(100), content[:500], content])
    return content[:place] + extra + content[place:], f"{len(extra)} bytes inserted at {place}"


def _overwrite(content: bytes, draw: random.Random) -> Change:
    place, size = draw.randrange(len(content)), draw.choice([4, 64, 1024])
    byte = draw.choice([b"\0", b"\xff", b"A", b"."])
    return content[:place] + byte * size + content[place + size :], f"{size} bytes at {place} are {byte!r}"


def _archive(content: bytes, draw: random.Random) -> Change:
    """Write the archive anew, one of its files changed."""
    entries = _entries(content)
    name = draw.choice([draw.choice(list(entries)), next(n for n in entries if n.endswith("data.pkl"))])
    act = draw.choice(
        ["remove", "rename", "double", "empty", "cut", "grow", "compress", "other bytes", "add", "comment"]
    )
    out = io.BytesIO()
    method = zipfile.ZIP_DEFLATED if act == "compress" else zipfile.ZIP_STORED
    with warnings.catch_warnings(), zipfile.ZipFile(out, "w", method) as archive:
        warnings.simplefilter("ignore")  # of a name that is there twice
        for entry, data in entries.items():
            if entry == name:
                if act == "remove":
                    continue
                data = _changed(data, act, draw)
                entry = draw.choice(["../x", "/x", "x" * 300, entry + "x", ""]) if act == "rename" else entry
            archive.writestr(zipfile.ZipInfo(entry), data, method)
            if entry == name and act == "double":
                archive.writestr(zipfile.ZipInfo(entry), data[: len(data) // 2])
        if act == "add":
            archive.writestr(name.split("/")[0] + "/" + draw.choice(["constants.pkl", "code/x.py", ".format"]), CODE)
        archive.comment = b"x" * (60000 if act == "comment" else 0)
    return out.getvalue(), f"archive: {act} {name}"


def _changed(data: bytes, act: str, draw: random.Random) -> bytes:
    if act == "cut":
        return data[: draw.randrange(len(data) + 1)]
    return {"empty": b"", "grow": data + b"\0" * 5000, "other bytes": draw.randbytes(len(data))}.get(act, data)


def _entries(content: bytes) -> dict:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def _with_pickle(content: bytes, data: bytes, compress: bool = False) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED if compress else zipfile.ZIP_STORED) as archive:
        for entry, old in _entries(content).items():
            archive.writestr(zipfile.ZipInfo(entry), data if entry.endswith("data.pkl") else old)
    return out.getvalue()


def _pickle(content: bytes, draw: random.Random) -> Change:
    """Put another pickle, or a changed one, in its place."""
    old = next(data for name, data in _entries(content).items() if name.endswith("data.pkl"))
    make, about = draw.choice(PICKLES)
    return _with_pickle(content, make(old, draw), draw.random() < 0.2), f"pickle: {about}"


def _alone(content: bytes, draw: random.Random) -> Change:
    """No archive at all: a pickle, as before torch 1.6."""
    old = next(data for name, data in _entries(content).items() if name.endswith("data.pkl"))
    make, about = draw.choice(PICKLES)
    return make(old, draw), f"only a pickle: {about}"


def _some_flips(data: bytes, draw: random.Random) -> bytes:
    found = bytearray(data)
    for _ in range(draw.choice([1, 2, 5, 30])):
        found[draw.randrange(len(found))] = draw.randrange(256)
    return bytes(found)


def _swap(data: bytes, draw: random.Random) -> bytes:
    """Exchange one string of the pickle for another of the same length, say a name of an option or a class."""
    known = [
        b"encoder_layers",
        b"argparse",
        b"Namespace",
        b"FloatStorage",
        b"LongStorage",
        b"cpu",
        b"storage",
        b"torch",
    ]
    known += [b"collections", b"OrderedDict", b"_rebuild_tensor_v2", b"model", b"cfg", b"decoder", b"layers", b"_name"]
    name = draw.choice([word for word in known if word in data] or [data[:3]])
    new = bytes(draw.choice(b"abxyzXY_09") for _ in name)
    return data.replace(name, new, draw.choice([1, 1, 1000]))


def _call(module: str, name: str, *args: object) -> bytes:
    """Return opcodes that call a function when they are read."""
    return b"c" + module.encode() + b"\n" + name.encode() + b"\n" + pickle.dumps(args, 2)[2:-1] + b"R"


def _code(data: bytes, draw: random.Random) -> bytes:
    call = draw.choice(
        [
            _call("builtins", "exec", CODE),
            _call("builtins", "eval", CODE),
            _call("os", "system", "touch canary/ran"),
            _call("posix", "system", "touch canary/ran"),
            _call("builtins", "open", "canary/ran", "w"),
            _call("torch.serialization", "load", "checkpoint.pt"),
            _call("torch", "save", 1, "canary/ran"),
            _call("numpy", "save", "canary/ran", 1),
            _call("numpy", "load", "canary/ran"),
            _call("fairseq.utils", "import_user_module", 1),
            _call("builtins", "getattr", 1, "real"),
            _call("subprocess", "Popen", ["touch", "canary/ran"]),
            _call("argparse", "FileType", "w"),
            _call("argparse", "Namespace.__init__", 1),
            _call("omegaconf.dictconfig", "DictConfig", "x"),
            _call("collections", "OrderedDict.__init__", 1),
            _call("torch._utils", "_rebuild_tensor_v2", 1, 2, 3, 4, 5, 6),
            _call("torch._utils", "_rebuild_parameter", 1, 2, 3),
            _call("numpy.core.multiarray", "scalar", 1, 2),
            _call("numpy.core.multiarray", "_reconstruct", 1, 2, 3),
            _call("_codecs", "encode", 1, 2),
            _call("_codecs", "encode", "x", "rot13"),
            _call("numpy", "dtype", "O"),
            _call("torch", "device", "x"),
        ]
    )
    state = b"\x80\x02}(X\x05\x00\x00\x00model}X\x03\x00\x00\x00cfg}X\x01\x00\x00\x00x" + call + b"u."
    return draw.choice([b"\x80\x02" + call + b".", state, data[:-1] + b"0" + call + b"0}."])


def _bomb(data: bytes, draw: random.Random) -> bytes:
    """Few bytes that stand for much."""
    lists = b"\x80\x02]q\x00" + b"".join(
        b"](" + b"h" + bytes([i]) + b"h" + bytes([i]) + b"eq" + bytes([i + 1]) for i in range(60)
    )
    strings = b"\x80\x02X" + struct.pack("<I", 2_000_000_000) + b"abc."
    number = b"\x80\x02\x8b" + struct.pack("<i", 300_000) + b"\x7f" * 300_000 + b"."
    text = b"\x80\x02L" + b"9" * 100_000 + b"L\n."
    frames = b"\x80\x04\x95" + struct.pack("<Q", 2**62) + b"}."
    blob = b"\x80\x03B" + struct.pack("<I", 2**32 - 1) + b"x."
    long_blob = b"\x80\x04\x8e" + struct.pack("<Q", 2**40) + b"x."
    memo = b"\x80\x02]r" + struct.pack("<I", 2**31 - 1) + b"."
    memo_text = b"\x80\x02]p99999999\n."
    dups = b"\x80\x02" + b"2" * 1000 + b"."
    objects = b"\x80\x02" + b"}" * 2_000_000 + b"."
    nested = b"\x80\x02" + b"]" * 50_000 + b"a" * 49_999 + b"."
    marks = b"\x80\x02" + b"(" * 100_000 + b"."
    return draw.choice(
        [lists + b".", strings, number, text, frames, blob, long_blob, memo, memo_text, dups, objects, nested, marks]
    )


def _storage(data: bytes, draw: random.Random) -> bytes:
    """Describe the memory of a tensor falsely."""
    kind = draw.choice(["FloatStorage", "LongStorage", "QInt8Storage", "UntypedStorage", "ComplexFloatStorage", "x"])
    key = draw.choice(["0", "1", "-1", "../../etc/passwd", "no", "", "9" * 30])
    size = draw.choice([0, 1, -1, 100, 2**31, 2**62, 2**70])
    device = draw.choice(["cpu", "cuda:0", "meta", "x", "cpu:7", "xla"])
    shape = draw.choice([(3,), (), (-1,), (2**40,), (2, 3), (2**31, 2**31), (0,), ("x",), (1.5,)])
    stride = draw.choice([(1,), (), (0,), (-1,), (3, 1), (2**62,)])
    identity = b"(X\x07\x00\x00\x00storagectorch\n" + kind.encode() + b"\n" + _text(key) + _text(device)
    identity += pickle.dumps(size, 2)[2:-1] + b"tQ"
    offset = draw.choice([0, 1, -1, 2**62])
    tensor = b"ctorch._utils\n_rebuild_tensor_v2\n(" + identity + pickle.dumps(offset, 2)[2:-1]
    tensor += pickle.dumps(shape, 2)[2:-1] + pickle.dumps(stride, 2)[2:-1] + b"\x89ccollections\nOrderedDict\n)RtR"
    return b"\x80\x02}(" + _text("cfg") + b"}" + _text("model") + b"}" + _text("w") + tensor + b"su."


def _text(text: str) -> bytes:
    content = text.encode()
    return b"X" + struct.pack("<I", len(content)) + content


def _opcodes(data: bytes, draw: random.Random) -> bytes:
    """Opcodes in any order: most end at once, some deep inside."""
    known = b"(.0123FIJKLMNPQRSTUVX]abcdeghijlopqrstu}" + bytes(range(0x80, 0x98))
    return (
        b"\x80" + bytes([draw.choice([0, 2, 4, 5, 9])]) + bytes(draw.choice(known) for _ in range(draw.randint(1, 200)))
    )


def _protocol(data: bytes, draw: random.Random) -> bytes:
    return b"\x80" + bytes([draw.choice([0, 1, 3, 4, 5, 6, 255])]) + data[2:]


PICKLES: list[tuple[Callable[[bytes, random.Random], bytes], str]] = [
    (_some_flips, "other bytes"),
    (_some_flips, "other bytes"),
    (_swap, "other strings"),
    (_swap, "other strings"),
    (_code, "a call"),
    (_code, "a call"),
    (_bomb, "few bytes for much"),
    (_storage, "false storage"),
    (_opcodes, "any opcodes"),
    (_protocol, "another protocol"),
]
