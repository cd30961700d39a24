#!/usr/bin/env bash
# A tensor of 4 GiB as a Float32Array of Node: no copy, no mount. MIB=512 makes a smaller one.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"

show node "$here/make-large.mjs" large.pt "${MIB:-4096}"
show mlfs ls large.pt
show node "$here/dot-product.mjs" large.pt embedding
