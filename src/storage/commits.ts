/**
 * The ways out for dirty ranges: they are committed into the file, written to a copy, or discarded.
 *
 * A commit is a redo log. The decision is one durable record of the journal, the commit mark, which carries the new checksums. After it,
 * the dirty ranges and checksums are copied into the base, and copied again after each failure, until base.json is updated and the segments
 * are removed. New edits go into later segments meanwhile.
 *
 * Invariants: the caller runs one of these operations at a time. A decided commit is finished before anything else is decided. Segments are
 * dropped only when no piece of the overlay lies in them.
 */
import { describeBase } from './base-record.ts';
import type { ChecksumMark, ChecksumPatch } from './checksums.ts';
import { encodeCommitNote, structureOf } from './commit-note.ts';
import { type CommitReport, report } from './commit-report.ts';
import { checkCopyTarget, writeCopy } from './copy.ts';
import type { FileStructure } from './file-structure.ts';
import { foldInto, type Progress } from './fold.ts';
import type { Image } from './image.ts';
import { inSlices } from './in-slices.ts';
import { WITH_TIMES } from './interrupted-commit.ts';
import type { Journal } from './journal/journal.ts';
import type { Medium, MediumFile } from './medium.ts';
import type { Mutex } from './mutex.ts';
import { OverlaySnapshot } from './overlay-snapshot.ts';
import { openBase } from './stale.ts';
import type { StateDirectory } from './state-directory.ts';

export interface FoldOptions {
  readonly onProgress?: (progress: Progress) => void;
  /** Report what would be done and change nothing. */
  readonly dryRun?: boolean;
}

export interface CommitToOptions extends FoldOptions {
  /** Replace an existing file. */
  readonly overwrite?: boolean;
}

/** Dirty ranges of at least this size are not copied from the base to a copy, because the edits go there. */
const LEFT_OUT_BYTES = 1024 * 1024;

/** What a decided commit has to write into the base. */
interface Decided {
  readonly segment: number;
  readonly edits: OverlaySnapshot;
  readonly mark: ChecksumMark;
}

export interface CommittedEdits {
  readonly medium: Medium;
  /** Path of the checkpoint. */
  readonly path: string;
  readonly state: StateDirectory;
  readonly journal: Journal;
  readonly image: Image;
  readonly structure: FileStructure;
  /** Runs one update at a time. */
  readonly updates: Mutex;
}

export class Commits {
  readonly #edits: CommittedEdits;
  #decided: Decided | undefined;
  #progress: Progress | undefined;
  #total = 0;

  constructor(edits: CommittedEdits) {
    this.#edits = edits;
  }

  /** Present while a commit is under way. */
  get progress(): Progress | undefined {
    return this.#progress;
  }

  /** A commit was decided and may be unfinished. */
  get pending(): boolean {
    return this.#decided !== undefined;
  }

  get total(): number {
    return this.#total;
  }

  async commit(options: FoldOptions): Promise<CommitReport> {
    const startedMs = Date.now();
    const { medium, path, image, updates } = this.#edits;
    if (options.dryRun) return this.#preview(startedMs);
    if (this.#decided !== undefined) await this.#finish(this.#decided, options);
    if (image.overlay.empty) {
      await updates.run(() => this.dropSuperseded());
      return report([], 0, startedMs);
    }
    // Check that the file can be written before anything is decided.
    const file = await openBase(medium, path, image.base, { begun: false });
    try {
      const decided = await updates.run(() => this.#decide());
      await this.#carryOut(file, decided, options);
      return await reportOf(decided.edits, decided.mark.patches, startedMs);
    } finally {
      await file.close();
    }
  }

  /** Writes the image with right checksums to a new file, which appears when it is complete; the edits stay as they are. */
  async commitTo(path: string, options: CommitToOptions): Promise<CommitReport> {
    const startedMs = Date.now();
    const { medium, state, image, structure, updates } = this.#edits;
    const { edited, patches } = await updates.run(async () => ({
      edited: new OverlaySnapshot(image.overlay),
      patches: structure.checksums.patches(),
    }));
    const target = { path, overwrite: options.overwrite ?? false, stateDirectory: state.path };
    if (options.dryRun) {
      await checkCopyTarget(image.base, target);
      return reportOf(edited, patches, startedMs);
    }
    try {
      await writeCopy(medium, image.base, {
        ...target,
        replaced: await inSlices(edited.ranges(LEFT_OUT_BYTES)),
        onProgress: (progress) => this.#tell(progress, options),
        finish: (file) =>
          foldInto(file, { pieces: edited.pieces(), bytes: edited.bytes }, patches, () => undefined),
      });
    } finally {
      this.#progress = undefined;
    }
    return reportOf(edited, patches, startedMs);
  }

  async discard(): Promise<CommitReport> {
    if (this.#decided !== undefined) await this.#finish(this.#decided, {});
    const { journal, image, structure, updates } = this.#edits;
    return updates.run(async () => {
      const startedMs = Date.now();
      const ranges = [...image.overlay.ranges()];
      if (ranges.length === 0) {
        await this.dropSuperseded();
        return report([], 0, startedMs);
      }
      await journal.discard();
      const chunks = new Set<number>();
      image.overlay.dropThrough(Number.POSITIVE_INFINITY, chunks);
      structure.checksums.reset();
      image.changed({ ranges, chunks });
      return report(ranges, 0, startedMs);
    });
  }

  /** Removes a journal in which no record counts: replacements that were never completed. Must be called between updates. */
  async dropSuperseded(): Promise<void> {
    const { journal, image } = this.#edits;
    if (!image.overlay.empty || this.pending || journal.counters.bytes === 0) return;
    await journal.dropThrough(await journal.rotate());
  }

  async #decide(): Promise<Decided> {
    const { journal, image, structure } = this.#edits;
    const mark = structure.checksums.mark();
    const note = encodeCommitNote({
      size: image.base.size,
      identity: structure.identity,
      structure: await structureOf(image.base, structure.identity, mark.patches),
      patches: mark.patches,
    });
    const segment = await journal.markCommit(note);
    const decided: Decided = { segment, edits: new OverlaySnapshot(image.overlay), mark };
    this.#decided = decided;
    return decided;
  }

  /** Carries out a decided commit that failed before. */
  async #finish(decided: Decided, options: FoldOptions): Promise<void> {
    const { medium, path, image } = this.#edits;
    const file = await openBase(medium, path, image.base, { begun: true });
    try {
      await this.#carryOut(file, decided, options);
    } finally {
      await file.close();
    }
  }

  async #carryOut(file: MediumFile, decided: Decided, options: FoldOptions): Promise<void> {
    const { path, state, journal, image, structure, updates } = this.#edits;
    const { segment, edits, mark } = decided;
    try {
      const folded = { pieces: edits.pieces(), bytes: edits.bytes };
      await foldInto(file, folded, mark.patches, (progress) => this.#tell(progress, options));
      await file.sync(WITH_TIMES);
      await updates.run(async () => {
        await image.base.refresh();
        await state.writeBase(await describeBase(path, image.base, structure));
        const chunks = new Set<number>();
        image.overlay.dropThrough(segment, chunks);
        structure.checksums.settle(mark);
        this.#decided = undefined;
        this.#total++;
        image.changed({ ranges: [], chunks });
      });
      // The commit is done even if the segments cannot be removed. They go with the next ones, or when the journal is opened again, which
      // folds them in once more.
      await journal.dropThrough(segment).catch(() => undefined);
    } finally {
      this.#progress = undefined;
    }
  }

  #tell(progress: Progress, options: FoldOptions): void {
    this.#progress = progress;
    options.onProgress?.(progress);
  }

  #preview(startedMs: number): Promise<CommitReport> {
    const { image, structure } = this.#edits;
    return reportOf(new OverlaySnapshot(image.overlay), structure.checksums.patches(), startedMs);
  }
}

/** There may be millions of ranges, so they are counted in slices. */
async function reportOf(
  edits: OverlaySnapshot,
  patches: readonly ChecksumPatch[],
  startedMs: number,
): Promise<CommitReport> {
  return report(await inSlices(edits.ranges()), patches.length, startedMs);
}
