/**
 * Every failure MLFS can explain is an MlfsError: a code, the file it is about, what to do next.
 * It is thrown inside and turned once into an errno (the FUSE dispatcher) or an exit code (the CLI).
 */
import { bounded } from './visible-text.ts';

/** Exit codes of the command line (docs/SEMANTICS.md). */
export const EXIT = { ok: 0, failure: 1, usage: 2, malformed: 3, conflict: 4, recovery: 5 } as const;
export type ExitCode = (typeof EXIT)[keyof typeof EXIT];

/** The errnos MLFS answers with, as the kernel names them. */
export type ErrnoName =
  | 'EPERM'
  | 'ENOENT'
  | 'EINTR'
  | 'EIO'
  | 'E2BIG'
  | 'EBADF'
  | 'EAGAIN'
  | 'ENOMEM'
  | 'EACCES'
  | 'EBUSY'
  | 'ENFILE'
  | 'EMFILE'
  | 'EEXIST'
  | 'ENOTDIR'
  | 'EISDIR'
  | 'EINVAL'
  | 'EFBIG'
  | 'ENOSPC'
  | 'EROFS'
  | 'ERANGE'
  | 'ENAMETOOLONG'
  | 'ENOSYS'
  | 'ENOTEMPTY'
  | 'ENODATA'
  | 'EPROTO'
  | 'EOPNOTSUPP'
  | 'ESTALE'
  | 'ENXIO'
  | 'EXDEV'
  | 'ETIMEDOUT';

const CODES = {
  ERR_MLFS_USAGE: { exit: EXIT.usage, errno: 'EINVAL' },
  ERR_MLFS_NOT_FOUND: { exit: EXIT.failure, errno: 'ENOENT' },
  ERR_MLFS_ACCESS: { exit: EXIT.failure, errno: 'EACCES' },
  ERR_MLFS_IO: { exit: EXIT.failure, errno: 'EIO' },
  ERR_MLFS_INTERNAL: { exit: EXIT.failure, errno: 'EIO' },
  ERR_MLFS_STALE: { exit: EXIT.conflict, errno: 'ESTALE' },
  ERR_MLFS_BUSY: { exit: EXIT.conflict, errno: 'EBUSY' },
  ERR_MLFS_RECOVERY: { exit: EXIT.recovery, errno: 'EIO' },
  /** FUSE is not usable here, or a transport is not available. */
  ERR_MLFS_FUSE: { exit: EXIT.failure, errno: 'EIO' },
  /** An operation of the filesystem answered with an errno of its own. */
  ERR_MLFS_ERRNO: { exit: EXIT.failure, errno: 'EIO' },
  /** The file is none of the formats MLFS knows. */
  ERR_MLFS_FORMAT: { exit: EXIT.malformed, errno: 'EIO' },
  /** A Git LFS pointer, an HTML error page: a file that stands for another. */
  ERR_MLFS_PLACEHOLDER: { exit: EXIT.malformed, errno: 'EIO' },
  ERR_MLFS_TRUNCATED: { exit: EXIT.malformed, errno: 'EIO' },
  ERR_MLFS_LIMIT: { exit: EXIT.malformed, errno: 'EIO' },
  ERR_MLFS_ZIP: { exit: EXIT.malformed, errno: 'EIO' },
  ERR_MLFS_ZIP_OVERLAP: { exit: EXIT.malformed, errno: 'EIO' },
  ERR_MLFS_ZIP_DUPLICATE: { exit: EXIT.malformed, errno: 'EIO' },
  ERR_MLFS_ZIP_NAME: { exit: EXIT.malformed, errno: 'EIO' },
  ERR_MLFS_ZIP_MISMATCH: { exit: EXIT.malformed, errno: 'EIO' },
  ERR_MLFS_ZIP_ENCRYPTED: { exit: EXIT.malformed, errno: 'EIO' },
  ERR_MLFS_ZIP_METHOD: { exit: EXIT.malformed, errno: 'EIO' },
  ERR_MLFS_CRC: { exit: EXIT.malformed, errno: 'EIO' },
  ERR_MLFS_PICKLE: { exit: EXIT.malformed, errno: 'EIO' },
  ERR_MLFS_TENSOR: { exit: EXIT.malformed, errno: 'EIO' },
  ERR_MLFS_STORAGE: { exit: EXIT.malformed, errno: 'EIO' },
  ERR_MLFS_SAFETENSORS: { exit: EXIT.malformed, errno: 'EIO' },
} as const satisfies Record<string, { exit: ExitCode; errno: ErrnoName }>;

export type ErrorCode = keyof typeof CODES;

export interface ErrorDetails {
  /** The file the failure is about, as the user named it. */
  path?: string | undefined;
  /** What to do next, one sentence or a command. */
  advice?: string | undefined;
  /** Overrides the errno that belongs to the code. */
  errno?: ErrnoName | undefined;
  cause?: unknown;
}

/** Bytes of a message: names in it are cut where they are quoted; this holds whatever was not. */
const MAX_MESSAGE_BYTES = 2000;
const MAX_ADVICE_BYTES = 1000;

export class MlfsError extends Error {
  override readonly name = 'MlfsError';
  readonly code: ErrorCode;
  readonly errno: ErrnoName;
  readonly path: string | undefined;
  readonly advice: string | undefined;

  /**
   * `message` names the file, the place and the offending value, and carries no stack for the user. Message and advice may be printed
   * as they are: what is hidden in them is escaped, and they are at most 2,000 and 1,000 bytes long. `path` is the path itself.
   */
  constructor(code: ErrorCode, message: string, details: ErrorDetails = {}) {
    super(
      bounded(message, MAX_MESSAGE_BYTES),
      details.cause === undefined ? undefined : { cause: details.cause },
    );
    this.code = code;
    this.errno = details.errno ?? CODES[code].errno;
    this.path = details.path;
    this.advice = details.advice === undefined ? undefined : bounded(details.advice, MAX_ADVICE_BYTES);
  }

  get exitCode(): ExitCode {
    return CODES[this.code].exit;
  }
}

/** An operation's plain refusal, e.g. `errno('ENOENT')`: no message is shown to anybody but the log. */
export function errno(name: ErrnoName, message: string = name): MlfsError {
  return new MlfsError('ERR_MLFS_ERRNO', message, { errno: name });
}

/** The message of whatever was thrown. */
export function messageOf(cause: unknown): string {
  return cause instanceof Error ? cause.message : String(cause);
}
