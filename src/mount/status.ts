/** What /sys/status.json and /sys/metrics say. */
import type { Checkpoint } from '../checkpoint/checkpoint.ts';
import type { PageCache } from '../storage/page-cache.ts';
import type { Metric } from '../telemetry/metrics.ts';
import type { BaseWatch } from './base-watch.ts';

export interface StatusSources {
  readonly checkpoint: Checkpoint;
  readonly checkpointPath: string;
  readonly mountpoint: string;
  readonly version: string;
  readonly transport: string;
  readonly startedMs: number;
  readonly cache: PageCache;
  readonly watch: BaseWatch;
  readonly tensors: number;
  readonly tensorBytes: number;
  readonly inodes: number;
  /** Counters of the transport and of the operations. */
  readonly counters: () => Readonly<Record<string, number>>;
}

export async function statusDocument(sources: StatusSources): Promise<object> {
  const { checkpoint, cache, watch } = sources;
  const { base } = checkpoint.image;
  const state = await watch.state();
  return {
    version: sources.version,
    pid: process.pid,
    mountpoint: sources.mountpoint,
    transport: sources.transport,
    mode: 'read-only',
    uptime_seconds: Math.round((Date.now() - sources.startedMs) / 1000),
    state: state.stale ? 'stale' : 'current',
    stale_reason: state.stale ? state.reason : null,
    image: {
      path: sources.checkpointPath,
      format: checkpoint.format,
      size: base.size,
      mtime: new Date(Number(base.fingerprint.mtimeNs / 1_000_000n)).toISOString(),
      inode: String(base.fingerprint.ino),
    },
    tensors: sources.tensors,
    tensor_bytes: sources.tensorBytes,
    inodes: sources.inodes,
    journal: null,
    dirty_ranges: [],
    cache: cache.counters,
    counters: sources.counters(),
    rss_bytes: process.memoryUsage.rss(),
    warnings: checkpoint.warnings.map((warning) => ({ code: warning.code, message: warning.message })),
    unknown_globals: checkpoint.unknownGlobals,
  };
}

export function* mountMetrics(sources: StatusSources): Iterable<Metric> {
  const { cache } = sources;
  yield {
    name: 'info',
    help: 'The mount, its value is always 1.',
    value: 1,
    labels: { version: sources.version, transport: sources.transport, format: sources.checkpoint.format },
  };
  yield { name: 'tensors', help: 'Tensors by name.', value: sources.tensors };
  yield { name: 'tensor_bytes', help: 'Bytes of all tensors, tied ones once.', value: sources.tensorBytes };
  yield { name: 'inodes', help: 'Inodes of the mount.', value: sources.inodes };
  yield { name: 'resident_bytes', help: 'Resident set of the server.', value: process.memoryUsage.rss() };
  yield { name: 'start_time_seconds', help: 'When the mount began.', value: sources.startedMs / 1000 };
  const { hits, misses, evictions, bytes, maxBytes } = cache.counters;
  yield { name: 'page_cache_hits_total', help: 'Pages found in the LRU page cache.', value: hits };
  yield { name: 'page_cache_misses_total', help: 'Pages that had to be made.', value: misses };
  yield { name: 'page_cache_evictions_total', help: 'Pages dropped for others.', value: evictions };
  yield { name: 'page_cache_bytes', help: 'Bytes in the LRU page cache.', value: bytes };
  yield { name: 'page_cache_max_bytes', help: 'Budget of the LRU page cache.', value: maxBytes };
  for (const [name, value] of Object.entries(sources.counters())) {
    yield { name, help: 'Of the transport and its operations.', value };
  }
}
