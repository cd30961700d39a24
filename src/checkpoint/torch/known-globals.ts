import type { PyGlobal } from '../pickle/values.ts';
import { dtypeNamed, storageClass } from './dtype-names.ts';

/** Names of values rather than calls; they are understood as arguments. */
const NAMES: ReadonlySet<string> = new Set([
  'torch.per_tensor_affine',
  'torch.per_channel_affine',
  'torch.per_channel_affine_float_qparams',
  'torch.per_tensor_symmetric',
  'torch.per_channel_symmetric',
  'torch.Tensor',
  'torch.device',
  'torch.serialization._get_layout',
  'torch.strided',
  'torch._utils._rebuild_wrapper_subclass',
  'torch.jit._pickle.build_intlist',
  'torch.jit._pickle.build_doublelist',
  'torch.jit._pickle.build_boollist',
  'torch.jit._pickle.build_tensorlist',
  'torch.jit._pickle.restore_type_tag',
  'builtins.object',
  '__builtin__.object',
  'builtins.complex',
  '__builtin__.complex',
  'numpy.dtype',
  'numpy.ndarray',
  'numpy.core.multiarray._reconstruct',
  'numpy.core.multiarray.scalar',
  'numpy._core.multiarray._reconstruct',
  'numpy._core.multiarray.scalar',
  'numpy.ma.MaskedArray',
  'numpy.ma.core.MaskedArray',
  'numpy.ma.core._mareconstruct',
  'numpy.matrix',
  'numpy.matrixlib.defmatrix.matrix',
  'numpy.memmap',
  'numpy.core.memmap.memmap',
  'numpy.recarray',
  'numpy.rec.recarray',
  'numpy.core.records.recarray',
]);

/** Whether MLFS knows what a global stands for; the others are listed as unknown. */
export function isKnownGlobal(global: PyGlobal, reconstructors: ReadonlyMap<string, unknown>): boolean {
  return (
    reconstructors.has(global.path) ||
    NAMES.has(global.path) ||
    storageClass(global.module, global.name) !== undefined ||
    dtypeNamed(global.module, global.name) !== undefined
  );
}
