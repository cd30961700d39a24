import type { Level } from '../telemetry/log.ts';
import type { TransportChoice } from './choose-transport.ts';

export interface MountOptions {
  /** Default: `kernel` where its addon was built, else `fuse-native`. */
  readonly transport?: TransportChoice | undefined;
  /** Show the file as it is: no edits, no state directory made or needed, appending to the log refused too. */
  readonly readOnly?: boolean | undefined;
  /** Where edits are kept; default `<checkpoint>.mlfs`. */
  readonly stateDirectory?: string | undefined;
  /** ENOSPC when the journal would grow beyond it. */
  readonly journalLimitBytes?: number | undefined;
  /** Commit when the mount ends, and on fsync of /sys/control. */
  readonly writeBack?: boolean | undefined;
  /** Show the new file when the checkpoint is replaced or rewritten. */
  readonly follow?: boolean | undefined;
  /** Serve /sys/metrics over HTTP: `9464`, `127.0.0.1:9464`; port 0 takes a free one. The loopback when there is no host. */
  readonly metricsAddress?: string | undefined;
  /** How long a read in /rpc waits for its answer; default a minute. */
  readonly rpcTimeoutMs?: number | undefined;
  /** Let every user in. The kernel then checks mode bits, owners and sticky folders (default_permissions), always. */
  readonly allowOther?: boolean | undefined;
  /** Let the kernel check them on a mount for its own user, too. */
  readonly defaultPermissions?: boolean | undefined;
  /** What /proc/mounts shows as the device; default the checkpoint's path. */
  readonly fsname?: string | undefined;
  /** Mount over a directory that is not empty. */
  readonly nonEmpty?: boolean | undefined;
  /** The key of the state dict that /model shows, when the checkpoint has several. */
  readonly stateDict?: string | undefined;
  /** Budget of the LRU page cache. */
  readonly cacheBytes?: number | undefined;
  readonly logLevel?: Level | undefined;
  /** Gets every line of the log, with its newline; lines that somebody appended together come together. */
  readonly logSink?: ((lines: string) => void) | undefined;
  /** Hears what the user should know at once: a dead mount that was detached, edits that were brought back. */
  readonly onNotice?: ((message: string) => void) | undefined;
}
