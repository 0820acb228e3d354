// Compiles a Motoko actor with npm's `motoko`, as its users' builds do: compile_motoko.mjs SOURCE OUT
import { readFileSync, writeFileSync } from 'node:fs';
import { basename } from 'node:path';
import motoko from 'motoko';

const [source, out] = process.argv.slice(2);
const file = motoko.file(basename(source));
file.write(readFileSync(source, 'utf8'));
motoko.setPublicMetadata(['candid:service']);
const problems = file.check();
for (const { message, range } of problems) console.error(`${source}:${range.start.line + 1}: ${message}`);
if (problems.length > 0) process.exit(1);
writeFileSync(out, file.wasm('ic').wasm);
