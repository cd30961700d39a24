import { MlfsError } from '../errors.ts';

/** The parsed values of `-o`, as sshfs users, mount(8) and /etc/fstab write them. When `ro` and `rw` both occur, the last one counts. */
export interface DashO {
  readOnly?: boolean;
  allowOther?: boolean;
  defaultPermissions?: boolean;
  nonEmpty?: boolean;
  fsname?: string;
  /** Unknown words, in their order: they may be options of `mlfs mount`. */
  readonly others: readonly OtherWord[];
}

export interface OtherWord {
  readonly name: string;
  /** The part after `=`. */
  readonly value: string | undefined;
}

/**
 * Options that mount(8) accepts for every file system and passes to its helpers (mount(8), "FILESYSTEM-INDEPENDENT MOUNT OPTIONS"). They
 * are accepted without effect: set-id bits and devices never count on an MLFS mount, times follow SEMANTICS.md, and the others are for
 * programs that read /etc/fstab.
 */
const GENERIC = new Set([
  'defaults',
  ...['suid', 'nosuid', 'dev', 'nodev', 'exec', 'noexec', 'symfollow', 'nosymfollow'],
  ...['sync', 'async', 'dirsync', 'silent', 'loud', 'mand', 'nomand', 'iversion', 'noiversion'],
  ...['atime', 'noatime', 'diratime', 'nodiratime', 'relatime', 'norelatime'],
  ...['strictatime', 'nostrictatime', 'lazytime', 'nolazytime'],
  ...['auto', 'noauto', 'user', 'nouser', 'users', 'nousers', 'owner', 'noowner', 'group', 'nogroup'],
  ...['nofail', '_netdev'],
]);

/** The same with a value: SELinux labels, comments, the mounting user, and the FUSE type. */
const GENERIC_WITH_VALUE = new Set([
  ...['context', 'fscontext', 'defcontext', 'rootcontext'],
  ...['comment', 'user', 'subtype'],
]);

/** Reads the values of `-o`, each a comma-separated list in which `\,` is a comma. Throws ERR_MLFS_USAGE naming the word. */
export function parseDashO(values: readonly string[]): DashO {
  const others: OtherWord[] = [];
  const options: DashO = { others };
  for (const word of values.flatMap((value) => value.split(/(?<!\\),/))) {
    const [, name = '', value] = /^([^=]*)(?:=(.*))?$/s.exec(word) ?? [];
    if (name === 'fsname' && value) options.fsname = unescaped(value);
    else if (isGeneric(name, value)) continue;
    else if (value === undefined && (name === 'ro' || name === 'rw')) options.readOnly = name === 'ro';
    else if (value === undefined && name === 'allow_other') options.allowOther = true;
    else if (value === undefined && name === 'default_permissions') options.defaultPermissions = true;
    else if (value === undefined && name === 'nonempty') options.nonEmpty = true;
    else if (name === 'remount')
      throw unknownWord(word, 'Unmount it, and mount it again with other options.');
    else others.push({ name, value: value === undefined ? undefined : unescaped(value) });
  }
  return options;
}

/** ERR_MLFS_USAGE for an unknown word of `-o`. */
export function unknownWord(word: string, advice?: string): MlfsError {
  return new MlfsError('ERR_MLFS_USAGE', `-o ${word}: unknown option`, {
    advice:
      advice ??
      'ro, rw, allow_other, default_permissions, nonempty, fsname=NAME, or a long option of mlfs mount, such as follow or journal_limit=2G',
  });
}

function isGeneric(name: string, value: string | undefined): boolean {
  // `x-systemd.requires=…`, and `X-…`, which mount(8) does not pass on.
  if (name === '' || /^x-/i.test(name)) return true;
  return value === undefined ? GENERIC.has(name) : GENERIC_WITH_VALUE.has(name);
}

function unescaped(value: string): string {
  return value.replace(/\\([\\,])/g, '$1');
}
