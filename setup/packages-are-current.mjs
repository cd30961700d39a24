// Exits with 0 when node_modules holds what package-lock.json names for this machine, else with 1. npm keeps what it installed in
// node_modules/.package-lock.json. Usage: packages-are-current.mjs [FOLDER]
import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';

const folder = process.argv[2] ?? '.';
const wanted = packagesOf(path.join(folder, 'package-lock.json'));
const installed = packagesOf(path.join(folder, 'node_modules/.package-lock.json'));

for (const [place, { version, integrity, os, cpu, libc, optional }] of Object.entries(wanted)) {
  // The empty place is the project itself.
  if (place === '') continue;
  const found = installed[place];
  const isHere = found !== undefined && existsSync(path.join(folder, place, 'package.json'));
  if (
    isHere
      ? found.version !== version || found.integrity !== integrity
      : !(optional && isForOthers({ os, cpu, libc }))
  ) {
    process.exit(1);
  }
}

function packagesOf(lock) {
  return existsSync(lock) ? JSON.parse(readFileSync(lock, 'utf8')).packages : {};
}

/** Whether npm leaves a package out because it is for other machines. */
function isForOthers({ os, cpu, libc }) {
  if (os !== undefined && !os.includes(process.platform)) return true;
  if (cpu !== undefined && !cpu.includes(process.arch)) return true;
  return libc !== undefined && !libc.includes(ownLibc());
}

function ownLibc() {
  return process.report.getReport().header.glibcVersionRuntime === undefined ? 'musl' : 'glibc';
}
