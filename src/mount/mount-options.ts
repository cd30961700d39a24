import type { Level } from '../telemetry/log.ts';
import type { TransportChoice } from './choose-transport.ts';
import type { KernelViewChoice } from './kernel-views.ts';

export interface MountOptions {
  /** Default: `kernel` where its addon was built, else `fuse-native`. */
  readonly transport?: TransportChoice | undefined;
  /** Show the file as it is: no edits, no state directory, and no appending to the log. */
  readonly readOnly?: boolean | undefined;
  /** Whether the kernel may read the tensors of a read-only mount by itself, where it can; default `auto`. */
  readonly kernelView?: KernelViewChoice | undefined;
  /** Where edits are kept; default `<checkpoint>.mlfs`. */
  readonly stateDirectory?: string | undefined;
  /** Maximum size of the journal; an edit beyond it fails with ENOSPC. */
  readonly journalLimitBytes?: number | undefined;
  /** Commit when the mount ends, and on fsync of /sys/control. */
  readonly writeBack?: boolean | undefined;
  /** Show the new file when the checkpoint is replaced or rewritten. */
  readonly follow?: boolean | undefined;
  /** Serve /sys/metrics over HTTP: `9464`, `127.0.0.1:9464`. Port 0 chooses a free port; without a host it is the loopback address. */
  readonly metricsAddress?: string | undefined;
  /** How long a read in /rpc waits for its answer; default a minute. */
  readonly rpcTimeoutMs?: number | undefined;
  /** Let every user in. The kernel then always checks mode bits, owners and sticky folders (default_permissions). */
  readonly allowOther?: boolean | undefined;
  /** Let the kernel check permissions (default_permissions) on a mount for its own user, too. */
  readonly defaultPermissions?: boolean | undefined;
  /** The device in /proc/mounts; default the checkpoint's path. */
  readonly fsname?: string | undefined;
  /** Mount over a directory that is not empty. */
  readonly nonEmpty?: boolean | undefined;
  /** The key of the state dict that /model shows, when the checkpoint has several. */
  readonly stateDict?: string | undefined;
  /** Maximum size of the rendered pages in memory. */
  readonly cacheBytes?: number | undefined;
  readonly logLevel?: Level | undefined;
  /** Receives every line of the log, with its newline; lines that were appended together arrive together. */
  readonly logSink?: ((lines: string) => void) | undefined;
  /** Receives notices for the user: a dead mount that was detached, edits that were restored. */
  readonly onNotice?: ((message: string) => void) | undefined;
}
