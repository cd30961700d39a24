/**
 * /ir: what is to be known of the program without running it.
 *
 *   code/…                          the files of a TorchScript archive as they are in it
 *   graph.txt, .json, .dot          its methods: which modules, functions and operators are called, and what flows between them;
 *                                   for an exported program its graph, and as .json torch's own
 *   module_tree.txt, .json, .dot    the modules and their tensors, of any file that holds a model
 *
 * Nothing is read or made before somebody looks. Graphs are made in a process of their own, trees in slices.
 */
import { basename } from 'node:path';
import type { Checkpoint } from '../checkpoint/checkpoint.ts';
import type { Model } from '../checkpoint/model.ts';
import type { ZipEntry } from '../checkpoint/zip/entry.ts';
import { readEntry } from '../checkpoint/zip/read-entry.ts';
import type { DirectoryInode } from '../inode.ts';
import type { FixedContent } from '../storage/content.ts';
import { inSlices } from '../storage/in-slices.ts';
import { InflatedContent } from '../storage/inflated-content.ts';
import type { RenderedPages } from '../storage/rendered-pages.ts';
import type { InodeTable } from './inode-table.ts';
import type { GraphSource } from './ir/graph-documents.ts';
import { makeGraph } from './ir/graph-process.ts';
import { treeDot, treeJson, treeText } from './ir/module-documents.ts';
import { type ModuleNode, moduleTree } from './ir/module-tree.ts';
import { type CodeFile, codeFiles, exportedPrograms } from './ir/program-source.ts';
import type { ModuleInstance } from './ir/script-program.ts';
import { escapeKey } from './path-names.ts';
import { UNCHANGING, UnchangingDocument } from './unchanging-document.ts';

export interface IrSources {
  readonly checkpoint: Checkpoint;
  readonly model: Model;
  readonly cache: RenderedPages;
}

/** Maximum size of the code of all files together, and of the JSON of an exported program: larger programs have no graph. */
const PROGRAM_BYTES = 32 * 1024 * 1024;

/** Adds nothing for a file without a program and without a model. */
export function addIrRoom(table: InodeTable, sources: IrSources): void {
  const { checkpoint, model } = sources;
  const files = codeFiles(checkpoint);
  const programs = exportedPrograms(checkpoint);
  const hasModel = model.module !== undefined || model.tensors.length > 0;
  if (files.length === 0 && programs.size === 0 && !hasModel) return;
  const room = table.folder(table.root, 'ir');
  if (files.length > 0) addScript(table, room, files, sources);
  for (const [name, entry] of programs) {
    const folder = programs.size === 1 ? room : table.folderAt(room, escapeKey(name));
    addExported(table, folder, entry, sources);
  }
  if (hasModel) addModuleTree(table, room, sources);
}

function addScript(
  table: InodeTable,
  room: DirectoryInode,
  files: readonly CodeFile[],
  sources: IrSources,
): void {
  const { checkpoint, model } = sources;
  const code = table.folder(room, 'code');
  for (const { name, entry } of files) {
    const path = name.split('/').flatMap(escapeKey);
    const file = path.pop() ?? '';
    const folder = table.folderAt(code, path);
    // Names in an archive are unique, but a file may have the name of a folder.
    if (table.hasName(folder, file)) continue;
    table.add(folder, file, { content: () => entryContent(entry, sources), size: entry.size });
  }
  const program = async (): Promise<GraphSource> => ({
    kind: 'torchscript',
    name: basename(checkpoint.path),
    files: await codeTexts(files, checkpoint),
    modules: instances(await inSlices(moduleTree(model))),
  });
  for (const form of ['txt', 'json', 'dot'] as const) {
    addDocument(table, room, `graph.${form}`, () => makeGraph(form, program));
  }
}

async function codeTexts(files: readonly CodeFile[], { image }: Checkpoint) {
  const texts: { name: string; text: string }[] = [];
  let left = PROGRAM_BYTES;
  for (const { name, entry } of files) {
    if (!name.endsWith('.py')) continue;
    const bytes = await readEntry(image, entry, left);
    left -= bytes.byteLength;
    texts.push({ name, text: bytes.toString('utf8') });
  }
  return texts;
}

/** Real models have a few thousand. */
const MAX_INSTANCES = 50_000;

function instances(root: ModuleNode): ModuleInstance[] {
  const found: ModuleInstance[] = [];
  const visit = ({ path, className, modules }: ModuleNode) => {
    if (found.length < MAX_INSTANCES) found.push({ path, className: className ?? '' });
    for (const module of modules) visit(module);
  };
  visit(root);
  return found;
}

function addExported(table: InodeTable, folder: DirectoryInode, entry: ZipEntry, sources: IrSources): void {
  const { checkpoint } = sources;
  const program = async (): Promise<GraphSource> => ({
    kind: 'exported',
    name: basename(checkpoint.path),
    json: await readEntry(checkpoint.image, entry, PROGRAM_BYTES),
  });
  for (const form of ['txt', 'dot', 'json'] as const) {
    addDocument(table, folder, `graph.${form}`, () => makeGraph(form, program));
  }
}

function addModuleTree(table: InodeTable, room: DirectoryInode, { checkpoint, model }: IrSources): void {
  const title = basename(checkpoint.path);
  const forms = { txt: treeText, json: treeJson, dot: treeDot } as const;
  for (const [form, write] of Object.entries(forms)) {
    addDocument(table, room, `module_tree.${form}`, async () => {
      const root = await inSlices(moduleTree(model));
      return inSlices<Uint8Array>(write(title, root));
    });
  }
}

function addDocument(
  table: InodeTable,
  folder: DirectoryInode,
  name: string,
  write: () => Promise<Uint8Array>,
): void {
  table.add(folder, name, { content: () => new UnchangingDocument(write) });
}

/** An entry as it is in the archive, inflated if necessary. Edits do not change it. */
function entryContent(entry: ZipEntry, { checkpoint, cache }: IrSources): FixedContent {
  const { image } = checkpoint;
  const { method, offset, compressedSize, size, crc32 } = entry;
  if (size === 0) return UNCHANGING;
  if (method === 'stored') {
    return { kind: 'extents', size, extents: [{ kind: 'image', image, offset, length: size }] };
  }
  return new InflatedContent({ image, offset, compressedLength: compressedSize, length: size, crc32 }, cache);
}
