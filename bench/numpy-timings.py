"""Answers `bench/numpy.ts`: a line with a name in, the seconds numpy takes for it out."""
import sys
import time

import numpy as np

path, dtype = sys.argv[1:3]
offset, length, text_count = map(int, sys.argv[3:])
x = np.fromfile(path, dtype=dtype, offset=offset, count=length // np.dtype(dtype).itemsize)
few = x[:text_count]
text = "\n".join(few.astype("U"))

# Sums in double, as MLFS has them: of half floats numpy's own sum overflows, of floats it rounds more.
OPERATIONS = {
    "min": lambda: x.min(),
    "max": lambda: x.max(),
    "mean": lambda: x.mean(dtype=np.float64),
    "std": lambda: x.std(dtype=np.float64),
    "isnan": lambda: np.count_nonzero(np.isnan(x)),
    "isinf": lambda: np.count_nonzero(np.isinf(x)),
    "zeros": lambda: x.size - np.count_nonzero(x),
    "histogram": lambda: np.histogram(x, bins=64),
    "render": lambda: "\n".join(few.astype("U")),
    "parse": lambda: np.array(text.split("\n")).astype(dtype),
}
print(np.__version__, flush=True)
for line in sys.stdin:
    start = time.perf_counter()
    OPERATIONS[line.strip()]()
    print(time.perf_counter() - start, flush=True)
