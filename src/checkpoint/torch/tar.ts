import { MlfsError } from '../../errors.ts';
import type { Image } from '../../storage/image.ts';
import type { OpenedCheckpoint, OpenOptions } from './zip-checkpoint.ts';

export async function openTorchTar(image: Image, _options: OpenOptions): Promise<OpenedCheckpoint> {
  throw new MlfsError('ERR_MLFS_FORMAT', `${image.path}: is a tar archive`, { path: image.path });
}
