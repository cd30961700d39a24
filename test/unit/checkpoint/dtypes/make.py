"""
Writes torch-2.13.json: what torch, safetensors and numpy say about every dtype. Run with torch 2.13, safetensors 0.8 and numpy 2.4.
`float32_sha256` is of the values of all codes of a small float, in order, as float32, with 12345 for each NaN.
"""

import hashlib
import json
import pathlib
import warnings

import numpy
import torch
from safetensors.torch import _TYPES as SAFETENSORS
from torch._export.serde.serialize import _SERIALIZE_TO_TORCH_DTYPE as EXPORTED

warnings.simplefilter("ignore")
names = [name for name in dir(torch) if isinstance(getattr(torch, name), torch.dtype)]
classes = torch.storage._dtype_to_storage_type_map()
rows = {}
for name in names:
    dtype = getattr(torch, name)
    row = rows.setdefault(str(dtype).removeprefix("torch."), {"aliases": []})
    if str(dtype) != f"torch.{name}":
        row["aliases"].append(name)
        continue
    tensor = torch.empty(8, dtype=dtype)
    row["itemsize"] = dtype.itemsize
    row["bytes_of_eight"] = tensor.untyped_storage().nbytes()
    row["type"] = tensor.type()
    row["floating"] = dtype.is_floating_point or dtype.is_complex
    row["complex"] = dtype.is_complex
    row["storage_class"] = classes.get(dtype)
    row["safetensors"] = next((key for key, value in SAFETENSORS.items() if value is dtype), None)
    row["export_type"] = next((key for key, value in EXPORTED.items() if value is dtype), None)
    try:
        row["numpy"] = tensor.numpy().dtype.str
    except (TypeError, RuntimeError):
        row["numpy"] = None
    if dtype.itemsize <= 2 and dtype.is_floating_point and dtype is not torch.float4_e2m1fn_x2:
        # A float32 has room for each of their values.
        codes = numpy.arange(256**dtype.itemsize, dtype=f"u{dtype.itemsize}")
        values = torch.from_numpy(codes).view(dtype).to(torch.float32)
        values[values.isnan()] = 12345
        row["float32_sha256"] = hashlib.sha256(values.numpy().tobytes()).hexdigest()

target = pathlib.Path(__file__).parent / "torch-2.13.json"
target.write_text(json.dumps(rows, indent=1, sort_keys=True) + "\n")
