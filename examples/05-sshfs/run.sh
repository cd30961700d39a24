#!/usr/bin/env bash
# A mount is an ordinary folder: sshfs shows it on another machine. Here the other machine is this one, through a real sshd.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"
PATH=$PATH:/usr/sbin
need sshfs
need sshd openssh-server
need ssh-keygen openssh-client

node "$here/../quick-demo/make-mlp.mjs" model.pt
mkdir mnt far
show mlfs mount model.pt mnt

say 'An sshd of our own: its keys, its configuration and its log are in this folder, and it listens on the loopback.'
ssh-keygen -q -t ed25519 -N '' -f host_key
ssh-keygen -q -t ed25519 -N '' -f user_key
cp user_key.pub authorized_keys
chmod 600 authorized_keys
port=$(node -e 'const s = require("net").createServer().listen(0, "127.0.0.1", () => { console.log(s.address().port); s.close(); })')
cat >sshd_config <<CONFIG
Port $port
ListenAddress 127.0.0.1
HostKey $work/host_key
AuthorizedKeysFile $work/authorized_keys
PidFile none
UsePAM no
StrictModes no
PasswordAuthentication no
PermitRootLogin prohibit-password
Subsystem sftp internal-sftp
CONFIG
# As root sshd wants an empty folder to lock itself into.
if [ "$(id -u)" -eq 0 ] && mkdir -m 0755 /run/sshd 2>/dev/null; then
  remove_sshd_folder() { rmdir /run/sshd; }
  at_exit remove_sshd_folder
fi
background sshd.log "$(command -v sshd)" -D -e -f "$work/sshd_config"
sshd=$started
wait_for 'sshd' grep -q 'Server listening' sshd.log

say 'The far side: sshfs, and nothing of MLFS.'
printf '[127.0.0.1]:%s %s\n' "$port" "$(cut -d ' ' -f 1,2 host_key.pub)" >known_hosts
show sshfs -p "$port" -o "IdentityFile=$work/user_key,UserKnownHostsFile=$work/known_hosts,IdentitiesOnly=yes" \
  "$(id -un)@127.0.0.1:$work/mnt" far
show ls far far/model/layers/0/linear
show "sha256sum < far/model/embed/weight.bin"
[ "$(sha256sum <far/model/embed/weight.bin)" = "$(sha256sum <mnt/model/embed/weight.bin)" ] ||
  fail 'the bytes are others on the far side'
show head -2 far/views/txt/layers/1/linear/bias.txt

say 'An edit on the far side is an edit of the model.'
show "printf '\0\0\200\77' | dd of=far/model/layers/1/linear/bias.bin conv=notrunc bs=4 count=1 status=none"
sync -f far/model/layers/1/linear/bias.bin
show head -1 mnt/views/txt/layers/1/linear/bias.txt
[ "$(head -1 mnt/views/txt/layers/1/linear/bias.txt)" = 1 ] || fail 'the edit did not arrive'
show "fusermount3 -u far"
stop "$sshd"
show mlfs status mnt
show mlfs umount mnt
