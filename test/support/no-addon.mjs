/** Imported before anything else (`node --import`): the process finds no addon, as if it had not been built. */
import Module from 'node:module';

const load = Module._extensions['.node'];
Module._extensions['.node'] = (module, path) => {
  if (path.endsWith('mlfs_native.node')) throw new Error('not built');
  return load(module, path);
};
