import type { NodeidRange, ViewSlots } from '../../kernel-view/view-slot.ts';
import type { HistogramCounts } from '../../telemetry/histogram.ts';
import type { Filesystem } from '../filesystem.ts';
import type { Trace } from '../request-trace.ts';
import type { Supply } from '../supplies.ts';

/** A way to attach a Filesystem to a directory. */
export interface Transport {
  readonly name: 'kernel' | 'fuse-native';
  /**
   * Mounts and resolves when the kernel's INIT was answered, so that the mount point answers at once.
   * Throws ERR_MLFS_FUSE with an advice when it cannot.
   */
  mount(filesystem: Filesystem, options: TransportOptions): Promise<TransportSession>;
}

export interface TransportOptions {
  /** An existing directory, absolute. */
  readonly mountpoint: string;
  /** What /proc/mounts shows as the device. */
  readonly fsname: string;
  readonly readOnly: boolean;
  /** Everybody may enter, and the kernel checks mode bits, owners and sticky folders (`kernelChecks`). */
  readonly allowOther: boolean;
  /** The kernel checks them for the user who mounts, too. */
  readonly defaultPermissions: boolean;
  /** Files that lie in a folder on disk are read and written by the kernel itself where it can; default true. */
  readonly passthrough?: boolean;
  /** Inodes of which a kernel view may serve files: their opens for reading wait until `views` decides. */
  readonly expectView?: NodeidRange | undefined;
  /** What users may have waiting of writes; no bound when absent. */
  readonly pendingBytes?: Supply;
  readonly onWarning: (message: string) => void;
  /** Hears of every request but the reads that the native plane answers; absent unless somebody wants to know. */
  readonly trace?: Trace | undefined;
}

export interface TransportSession {
  /** Resolves when the mount is gone, whoever unmounted it. */
  readonly closed: Promise<void>;
  /** Detaches the mount point; `closed` resolves when the last user let go. */
  unmount(): Promise<void>;
  /** Monotonic counters, names in snake_case without a prefix, e.g. `native_read_bytes_total`. */
  counters(): Readonly<Record<string, number>>;
  /** Files that were opened without JavaScript and are open, by the folder at the root; of a transport that opens such files. */
  nativeOpenFiles?(): ReadonlyMap<string, number>;
  /** Reads that never entered JavaScript, by the folder at the root; of a transport that has such reads. */
  nativeReads?(): ReadonlyMap<string, NativeReads>;
  /** Present if a kernel view was expected and the transport can have one. */
  readonly views?: ViewSlots | undefined;
}

export interface NativeReads {
  readonly bytes: number;
  readonly seconds: HistogramCounts;
}

/**
 * Whether the mount gets the option default_permissions. Always with allow_other: a server is not asked about the folders that a path leads
 * through, so that nothing but the kernel can keep other users out of a folder.
 */
export function kernelChecks(options: Pick<TransportOptions, 'allowOther' | 'defaultPermissions'>): boolean {
  return options.allowOther || options.defaultPermissions;
}
