import { MlfsError } from '../errors.ts';

/** What `-o` may say, as far as a mount of ours knows it. Of `ro` and `rw` the last counts. */
export interface DashO {
  readOnly?: boolean;
  allowOther?: boolean;
  defaultPermissions?: boolean;
  nonEmpty?: boolean;
  fsname?: string;
}

/** Words that mount(8) and /etc/fstab use for themselves, or that are so anyway: accepted, and nothing follows. */
const WITHOUT_EFFECT = new Set([
  'defaults',
  'nosuid',
  'nodev',
  'noexec',
  'noatime',
  'nodiratime',
  'relatime',
  'auto',
  'noauto',
  'user',
  'nouser',
  'nofail',
  '_netdev',
]);

/** Reads the values of `-o`, each a comma-separated list in which `\,` is a comma. Throws ERR_MLFS_USAGE naming the word. */
export function parseDashO(values: readonly string[]): DashO {
  const options: DashO = {};
  for (const word of values.flatMap((value) => value.split(/(?<!\\),/))) {
    const [, name = '', value] = /^([^=]*)(?:=(.*))?$/s.exec(word) ?? [];
    if (name === 'fsname' && value) options.fsname = value.replace(/\\([\\,])/g, '$1');
    else if (value !== undefined && !name.startsWith('x-')) throw unknown(word);
    else if (name === 'ro' || name === 'rw') options.readOnly = name === 'ro';
    else if (name === 'allow_other') options.allowOther = true;
    else if (name === 'default_permissions') options.defaultPermissions = true;
    else if (name === 'nonempty') options.nonEmpty = true;
    else if (name !== '' && !WITHOUT_EFFECT.has(name) && !name.startsWith('x-')) throw unknown(word);
  }
  return options;
}

function unknown(word: string): MlfsError {
  return new MlfsError('ERR_MLFS_USAGE', `-o ${word}: unknown option`, {
    advice: 'ro, rw, allow_other, default_permissions, nonempty, fsname=NAME',
  });
}
