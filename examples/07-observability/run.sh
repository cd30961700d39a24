#!/usr/bin/env bash
# What a mount does, as lines of a log and as numbers that Prometheus scrapes.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"
need prometheus
need curl

node "$here/../quick-demo/make-mlp.mjs" model.pt
mkdir mnt
show "mlfs mount model.pt mnt --metrics 127.0.0.1:0 | tee mounted"
url=$(grep -o 'http://[^ ]*' mounted)

say 'The log is a file: tail follows it, grep finds in it, and everybody may add lines.'
background tail.log tail -n +1 -F mnt/logs/fuse.log
tailing=$started
head -c 256 /dev/urandom >mnt/model/layers/0/linear/bias.bin
show mlfs commit mnt
status=0
show "printf 'no number\n' > mnt/views/txt/layers/1/linear/bias.txt" || status=$?
show "echo 'level=info msg=\"epoch 3 begins\" trainer=$$' >> mnt/logs/fuse.log"
wait_for 'the line in the log' grep -q 'epoch 3 begins' tail.log
stop "$tailing"
show grep -c level=warn mnt/logs/fuse.log
show cat tail.log

say 'The numbers are a file, and an address for Prometheus.'
show "grep -E '^mlfs_(commits_total|dirty_bytes|tensors) ' mnt/sys/metrics"
show "cat mnt/model/embed/weight.bin mnt/views/npy/embed/weight.npy > /dev/null"
show "curl -s $url | grep -E '^mlfs_read_(bytes_total|duration_seconds_count).*(model|views)'"

say 'A real Prometheus scrapes it.'
port=$(node -e 'const s = require("net").createServer().listen(0, "127.0.0.1", () => { console.log(s.address().port); s.close(); })')
target=${url#http://}
cat >prometheus.yml <<YML
global: { scrape_interval: 500ms }
scrape_configs:
  - job_name: mlfs
    static_configs: [{ targets: ['${target%/metrics}'] }]
YML
background prometheus.log prometheus --config.file=prometheus.yml --storage.tsdb.path="$work/tsdb" \
  --web.listen-address="127.0.0.1:$port" --log.level=warn
ask() { curl -sf --get "http://127.0.0.1:$port/api/v1/query" --data-urlencode "query=$1"; }
scraped() { ask 'mlfs_commits_total' | grep -q '"job":"mlfs".*,"1"]'; }
wait_for 'the first scrape' scraped
show "ask up"
echo
show "ask 'mlfs_commits_total'"
echo
stop "$started"
show mlfs umount mnt
