import { MlfsError } from '../errors.ts';

/** What `-o` says, as sshfs users, mount(8) and /etc/fstab write it. Of `ro` and `rw` the last counts. */
export interface DashO {
  readOnly?: boolean;
  allowOther?: boolean;
  defaultPermissions?: boolean;
  nonEmpty?: boolean;
  fsname?: string;
  /** Words that are none of these, in their order: they may be options of `mlfs mount`. */
  readonly others: readonly OtherWord[];
}

export interface OtherWord {
  readonly name: string;
  /** What is behind `=`. */
  readonly value: string | undefined;
}

/**
 * Options that mount(8) takes for every file system, and that its helpers hand on (mount(8), "FILESYSTEM-INDEPENDENT MOUNT OPTIONS"). They are
 * accepted and change nothing: set-id bits and devices never count on a mount of ours, times are kept as SEMANTICS.md says, and
 * the others are for whoever reads /etc/fstab.
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

/** The same with a value: labels of SELinux, comments, who mounted it, and the FUSE type. */
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

/** ERR_MLFS_USAGE for a word of `-o` that nothing knows. */
export function unknownWord(word: string, advice?: string): MlfsError {
  return new MlfsError('ERR_MLFS_USAGE', `-o ${word}: unknown option`, {
    advice:
      advice ??
      'ro, rw, allow_other, default_permissions, nonempty, fsname=NAME, or a long option of mlfs mount, such as follow or journal_limit=2G',
  });
}

function isGeneric(name: string, value: string | undefined): boolean {
  // `x-systemd.requires=…`, and `X-…` that mount(8) keeps to itself.
  if (name === '' || /^x-/i.test(name)) return true;
  return value === undefined ? GENERIC.has(name) : GENERIC_WITH_VALUE.has(name);
}

function unescaped(value: string): string {
  return value.replace(/\\([\\,])/g, '$1');
}
