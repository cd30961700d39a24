import { MlfsError } from '../errors.ts';
import { refuseJson, refuseText } from './foreign.ts';

/** The kind of a file by its first bytes. */
export type Container = 'zip' | 'safetensors' | 'tar' | 'pickle';

/** Number of bytes that `detectContainer` needs to see. */
export const HEAD_BYTES = 4096;

interface Signature {
  readonly what: string;
  readonly offset: number;
  readonly bytes: Buffer;
  readonly advice?: string;
}

/** Kinds of files that often lie beside checkpoints, by their magic numbers. */
const OTHERS: readonly Signature[] = [
  signature('a GGUF model', 0, 'GGUF'),
  signature('a GGML model', 0, 'lmgg'),
  signature('an HDF5 file (Keras)', 0, '\x89HDF\r\n\x1a\n'),
  signature('a NumPy array', 0, '\x93NUMPY'),
  signature('a TensorFlow Lite model', 4, 'TFL3'),
  signature('an ExecuTorch program (.pte)', 4, 'ET12', 'Open the checkpoint that it was exported from.'),
  signature(
    'a PyTorch Mobile model in the flatbuffer format (.ptl)',
    4,
    'PTMF',
    'Open the TorchScript archive that it was converted from.',
  ),
  signature('a gzip file', 0, '\x1f\x8b', 'Decompress it first: gunzip.'),
  signature('a Zstandard file', 0, '\x28\xb5\x2f\xfd', 'Decompress it first: zstd -d.'),
  signature('an xz file', 0, '\xfd7zXZ\0', 'Decompress it first: xz -d.'),
  signature('a bzip2 file', 0, 'BZh', 'Decompress it first: bunzip2.'),
  signature('a 7-Zip archive', 0, '7z\xbc\xaf\x27\x1c', 'Unpack it first: 7z x.'),
  signature('a RAR archive', 0, 'Rar!', 'Unpack it first.'),
  signature('a PDF', 0, '%PDF'),
  signature('a PNG image', 0, '\x89PNG'),
  signature('an ELF program', 0, '\x7fELF'),
  signature('an Apache Arrow file', 0, 'ARROW1'),
  signature('a Parquet file', 0, 'PAR1'),
];

/**
 * Tells the container by content, never by the file's extension. Throws ERR_MLFS_PLACEHOLDER for a file that stands for another
 * and ERR_MLFS_FORMAT, which names what it is, for one that is not a checkpoint.
 */
export function detectContainer(path: string, head: Buffer, size: number): Container {
  if (size === 0)
    throw refuse(path, 'is empty', 'The download or the copy did not finish; get the file again.');
  const text = head.toString('latin1');
  if (text.startsWith('version https://git-lfs.github.com/spec/')) {
    throw new MlfsError(
      'ERR_MLFS_PLACEHOLDER',
      `${path}: is a Git LFS pointer${lfsSize(text)}, not the file itself`,
      {
        path,
        advice: 'Fetch the file with: git lfs pull',
      },
    );
  }
  if (/^(\xef\xbb\xbf)?\s*<(!doctype|html|head|body|\?xml)/i.test(text)) {
    throw new MlfsError('ERR_MLFS_PLACEHOLDER', `${path}: is an HTML or XML page, not a checkpoint`, {
      path,
      advice: 'The download went to a web page (a login, an error); get the file itself.',
    });
  }
  if (text.startsWith('PK\x03\x04') || text.startsWith('PK\x05\x06')) return 'zip';
  for (const other of OTHERS) {
    if (head.subarray(other.offset, other.offset + other.bytes.length).equals(other.bytes)) {
      throw refuse(path, `is ${other.what}, not a PyTorch checkpoint`, other.advice);
    }
  }
  if (looksLikeSafetensors(head, size)) return 'safetensors';
  if (head.subarray(257, 262).toString('latin1') === 'ustar') return 'tar';
  if (looksLikeOnnx(head)) throw refuse(path, 'is an ONNX model, not a PyTorch checkpoint');
  if (looksLikePickle(head)) return 'pickle';
  if (/^\s*[{[]/.test(text)) throw refuseJson(path, head);
  throw (
    refuseText(path, head) ??
    refuse(path, `is not a checkpoint: it starts with the bytes ${head.subarray(0, 8).toString('hex')}`)
  );
}

function signature(what: string, offset: number, magic: string, advice?: string): Signature {
  return { what, offset, bytes: Buffer.from(magic, 'latin1'), ...(advice === undefined ? {} : { advice }) };
}

function lfsSize(text: string): string {
  const size = /^size (\d+)$/m.exec(text)?.[1];
  return size === undefined ? '' : ` to ${size} bytes`;
}

/** An 8-byte length that fits the file, then a JSON object. */
function looksLikeSafetensors(head: Buffer, size: number): boolean {
  if (head.length < 10) return false;
  const length = head.readBigUInt64LE(0);
  return length <= BigInt(size - 8) && /^[{ ]/.test(head.toString('latin1', 8, 9));
}

/** ONNX is a protobuf without a magic: field 1 is a small IR version, then the producer's name. */
function looksLikeOnnx(head: Buffer): boolean {
  const version = head[1] as number;
  return head[0] === 0x08 && version > 0 && version < 32 && (head[2] === 0x12 || head[2] === 0x3a);
}

/** A PROTO opcode, or one that a text pickle of protocol 0 or 1 starts with and whose first line is printable. */
function looksLikePickle(head: Buffer): boolean {
  if (head[0] === 0x80) return (head[1] ?? 0) <= 5;
  return (
    /^[(\])}.cILFSVNdlK]/.test(head.toString('latin1', 0, 1)) &&
    !/^\s*[{[<]/.test(head.toString('latin1', 0, 8))
  );
}

function refuse(path: string, what: string, advice?: string): MlfsError {
  return new MlfsError('ERR_MLFS_FORMAT', `${path}: ${what}`, {
    path,
    ...(advice === undefined ? {} : { advice }),
  });
}
