// Compiles a Motoko actor with npm's `motoko`, as its users' builds do: compile_motoko.mjs SOURCE OUT
// The modules beside it, whose names begin with a capital letter, and mo:core can be imported.
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { basename, dirname, join } from 'node:path';
import motoko from 'motoko';

const [source, out] = process.argv.slice(2);
const modules = readdirSync(dirname(source)).filter((name) => /^[A-Z]\w*\.mo$/.test(name));
motoko.loadPackage(createRequire(import.meta.url)('motoko/packages/latest/core.json'));
for (const name of modules) motoko.write(name, readFileSync(join(dirname(source), name), 'utf8'));
const file = motoko.file(basename(source));
file.write(readFileSync(source, 'utf8'));
motoko.setPublicMetadata(['candid:service']);
const problems = file.check();
for (const { source: where, message, range } of problems) console.error(`${where}:${range.start.line + 1}: ${message}`);
if (problems.length > 0) process.exit(1);
writeFileSync(out, file.wasm('ic').wasm);
