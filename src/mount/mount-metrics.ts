/** The contents of /sys/metrics. Names and units follow Prometheus' rules: https://prometheus.io/docs/practices/naming/ */
import { RoomTraffic } from '../fuse/traffic.ts';
import type { NativeReads } from '../fuse/transport/transport.ts';
import type { Metric } from '../telemetry/metrics.ts';
import { processMemory } from '../telemetry/process-memory.ts';
import type { StatusSources } from './status.ts';

export function* mountMetrics(sources: StatusSources): Iterable<Metric> {
  yield* mountItself(sources);
  yield* edits(sources);
  yield* traffic(sources);
  yield* pageCache(sources);
  yield* kernelView(sources);
  yield* requests(sources.counters());
}

function* mountItself(sources: StatusSources): Iterable<Metric> {
  const { checkpoint, tensors, tensorBytes, inodes } = sources.served();
  yield {
    name: 'build_info',
    help: 'Versions of mlfs and Node; always 1.',
    value: 1,
    labels: { version: sources.version, node: process.versions.node },
  };
  yield {
    name: 'mount_info',
    help: 'The mount, as labels; always 1.',
    value: 1,
    labels: {
      checkpoint: sources.checkpointPath,
      mountpoint: sources.mountpoint,
      format: checkpoint.format,
      transport: sources.transport,
      mode: sources.readOnly ? 'read-only' : 'read-write',
    },
  };
  yield { name: 'tensors', help: 'Tensors; one with several names counts once.', value: tensors };
  yield { name: 'tensor_bytes', help: 'Bytes of all tensors; tied ones count once.', value: tensorBytes };
  yield { name: 'inodes', help: 'Inodes of the mount.', value: inodes };
  yield { name: 'start_time_seconds', help: 'When the mount began.', value: sources.startedMs / 1000 };
  const { residentBytes, heapBytes, externalBytes } = processMemory();
  yield { name: 'resident_memory_bytes', help: 'Resident set of the server.', value: residentBytes };
  yield { name: 'heap_bytes', help: 'JavaScript heap of the server.', value: heapBytes };
  yield { name: 'external_memory_bytes', help: 'Buffers of the server.', value: externalBytes };
  const { user, system } = process.cpuUsage();
  yield {
    name: 'cpu_seconds_total',
    help: 'Processor time of the server.',
    value: (user + system) / 1e6,
  };
  yield {
    name: 'checkpoint_stale',
    help: 'Whether the checkpoint file is not the one that was opened.',
    value: sources.stale() ? 1 : 0,
  };
  yield {
    name: 'reloads_total',
    help: 'Checkpoint files that replaced another one in the mount.',
    value: sources.reloadsTotal(),
  };
}

function* edits(sources: StatusSources): Iterable<Metric> {
  const status = sources.served().edits?.status;
  const { bytes = 0, segments = 0, appendsTotal = 0, syncsTotal = 0 } = status?.journal ?? {};
  yield {
    name: 'dirty_bytes',
    help: 'Edited bytes that were not committed.',
    value: status?.dirtyBytes ?? 0,
  };
  yield {
    name: 'dirty_ranges',
    help: 'Ranges of edited bytes that were not committed.',
    value: status?.dirtyRanges ?? 0,
  };
  yield { name: 'journal_bytes', help: 'Bytes of the journal on disk.', value: bytes };
  yield { name: 'journal_segments', help: 'Files of the journal.', value: segments };
  yield { name: 'journal_appends_total', help: 'Appends to the journal.', value: appendsTotal };
  yield { name: 'journal_syncs_total', help: 'Syncs of the journal.', value: syncsTotal };
  yield {
    name: 'commits_total',
    help: 'Commits since the mount or its last reload.',
    value: status?.commitsTotal ?? 0,
  };
}

const NOT_READ: NativeReads = { bytes: 0, seconds: new RoomTraffic().readSeconds.counts };

/** `plane`: `data` for requests that native code answers, `control` for those that go through JavaScript. */
function* traffic({ traffic, nativeReads, nativeOpenFiles }: StatusSources): Iterable<Metric> {
  const unseen = 'What the kernel answers from its page cache, or by passthrough, is not seen.';
  const bytes = { name: 'read_bytes_total', help: `Bytes read from the server, by room. ${unseen}` };
  const seconds = { name: 'read_duration_seconds', help: `How long READ requests took. ${unseen}` };
  const native = nativeReads();
  const nativelyOpen = nativeOpenFiles();
  if (native !== undefined) {
    for (const room of new Set([...traffic.rooms.keys(), ...native.keys()])) {
      const read = native.get(room) ?? NOT_READ;
      yield { ...bytes, labels: { room, plane: 'data' }, value: read.bytes };
      yield { ...seconds, labels: { room, plane: 'data' }, histogram: read.seconds };
    }
  }
  for (const [room, { readBytes, readSeconds, writes, writeBytes, openFiles }] of traffic.rooms) {
    yield {
      name: 'open_files',
      help: 'Open file handles, by room; opens through the kernel view are counted apart.',
      labels: { room },
      value: openFiles + (nativelyOpen?.get(room) ?? 0),
    };
    yield { ...bytes, labels: { room, plane: 'control' }, value: readBytes };
    yield { ...seconds, labels: { room, plane: 'control' }, histogram: readSeconds.counts };
    yield { name: 'writes_total', help: 'WRITE requests, by room.', labels: { room }, value: writes };
    yield { name: 'write_bytes_total', help: 'Bytes written, by room.', labels: { room }, value: writeBytes };
  }
}

function* pageCache({ cache }: StatusSources): Iterable<Metric> {
  const { hits, misses, evictions, bytes, maxBytes } = cache.counters;
  yield { name: 'page_cache_hits_total', help: 'Rendered pages found in memory.', value: hits };
  yield { name: 'page_cache_misses_total', help: 'Rendered pages that had to be computed.', value: misses };
  yield { name: 'page_cache_evictions_total', help: 'Rendered pages dropped for others.', value: evictions };
  yield { name: 'page_cache_bytes', help: 'Bytes of rendered pages in memory.', value: bytes };
  yield { name: 'page_cache_max_bytes', help: 'Maximum bytes of rendered pages in memory.', value: maxBytes };
}

function* kernelView(sources: StatusSources): Iterable<Metric> {
  const { state, files, bytes, loopDevices } = sources.kernelView();
  yield {
    name: 'kernel_view_in_use',
    help: '1 if the mount has a kernel view, 0 if the server reads all files. While the checkpoint is stale, a view is used only for files that were open before.',
    value: state === 'in use' ? 1 : 0,
  };
  yield { name: 'kernel_view_files', help: 'Files of the kernel view.', value: files };
  yield { name: 'kernel_view_bytes', help: 'Bytes of these files.', value: bytes };
  yield { name: 'kernel_view_loop_devices', help: 'Loop devices of the kernel view.', value: loopDevices };
}

/** Counters of the transports besides the requests by operation. */
const REQUEST_HELP: Readonly<Record<string, string>> = {
  request_errors_total: 'Requests that were refused or failed.',
  requests_pending: 'Requests that wait for their answer.',
  inodes_known: 'Inodes that the kernel refers to.',
  passthrough_opens_total: 'Opens of files that the kernel reads and writes by itself.',
  plain_backed_opens_total: 'Opens of files that the kernel cannot read and write by itself.',
  native_read_errors_total: 'READ requests that native code answered with an error.',
  kernel_view_opens_total: 'Opens of files through the kernel view.',
  kernel_view_plain_opens_total:
    'Opens of files of the kernel view that went to the data plane: the view came late, the checkpoint had changed, the file was open there, or it could not be opened in the view.',
  kernel_view_failures_total:
    'Files that could not be opened in the kernel view; the data plane served them.',
  kernel_view_open_files: 'Opens through the kernel view that are not closed yet.',
  near_periods_total: 'Times a lone reader was served from its own processor.',
};

function* requests(counters: Readonly<Record<string, number>>): Iterable<Metric> {
  for (const [name, value] of Object.entries(counters)) {
    const operation = /^requests_(\w+)_total$/.exec(name)?.[1];
    const help = REQUEST_HELP[name];
    if (operation !== undefined) {
      const help = 'Requests of the kernel, by operation; READ only where JavaScript answered.';
      yield { name: 'requests_total', help, labels: { operation }, value };
    } else if (help !== undefined) {
      yield { name, help, value };
    }
  }
}
