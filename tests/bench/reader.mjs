// One reader of a mount, as a process: reads until a moment and prints what it got and when.
//
// usage: node reader.mjs sequential|random PATH FROM TO UNTIL      bytes, and milliseconds of the epoch
import { openSync, readSync } from 'node:fs';
import { BLOCK, MIB } from './measure.mjs';

const [kind, path, ...numbers] = process.argv.slice(2);
const [from, to, until] = numbers.map(Number);
const file = openSync(path);

// One read(2) or pread(2) of the whole length; [when it began, ms it took].
function timed(buffer, offset) {
  const began = Date.now();
  const started = performance.now();
  const n = readSync(file, buffer, 0, buffer.length, offset);
  if (n !== buffer.length) throw new Error(`${n} bytes at ${offset}`);
  return [began, performance.now() - started];
}

const READS = {
  *sequential() {
    const buffer = Buffer.alloc(MIB);
    for (let offset = from; offset + MIB <= to; offset += MIB) yield timed(buffer, offset);
  },
  *random() {
    const buffer = Buffer.alloc(BLOCK);
    const blocks = Math.floor((to - from) / BLOCK);
    for (;;) yield timed(buffer, from + Math.floor(Math.random() * blocks) * BLOCK);
  },
};

const reads = [];
for (const read of READS[kind]()) {
  reads.push(read);
  if (Date.now() >= until) break;
}
if (Date.now() < until) throw new Error('the range ended before the time');
console.log(JSON.stringify(reads));
