"""Doubles to and from safetensors files, for the tests that have nothing but Python's own library."""
import json
import struct


def save(path, tensors):
    """tensors: {name: (shape, values)}, written as F64."""
    head, blob = {}, b""
    for key, (shape, values) in tensors.items():
        raw = struct.pack(f"<{len(values)}d", *values)
        head[key] = {"dtype": "F64", "shape": shape, "data_offsets": [len(blob), len(blob) + len(raw)]}
        blob += raw
    text = json.dumps(head).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text + blob)


def load(path, name):
    """Shape and values of one F64 tensor, and the file's metadata."""
    with open(path, "rb") as file:
        raw = file.read()
    size = struct.unpack("<Q", raw[:8])[0]
    head, blob = json.loads(raw[8:8 + size]), raw[8 + size:]
    assert head[name]["dtype"] == "F64", head[name]
    begin, end = head[name]["data_offsets"]
    return head[name]["shape"], struct.unpack(f"<{(end - begin) // 8}d", blob[begin:end]), head["__metadata__"]
