// Restores: what they cost against what a modelled subnet takes, which is a block of 4 MiB of update calls each second.
//
// usage: node restore.mjs [--size 382] [--repeat 3] [PART...]
//        size in MiB, of which 382 are 400 MB; parts: inflight memory changes steady items backup, without any all
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { Stage, top } from '../mount/harness.mjs';
import { table } from './measure.mjs';
import { backupRows, backups } from './restore_backup.mjs';
import { itemRows, itemRestores } from './restore_items.mjs';
import { changeRows, changes, inflightRows, inflights, memoryRestores, memoryRows, steadyRestore, steadyRows } from './restore_memory.mjs';
import { MIB } from './measure.mjs';

const PARTS = {
  inflight: { run: inflights, rows: inflightRows },
  memory: { run: memoryRestores, rows: memoryRows },
  changes: { run: changes, rows: changeRows },
  steady: { run: steadyRestore, rows: steadyRows },
  items: { run: itemRestores, rows: itemRows },
  backup: { run: backups, rows: backupRows },
};

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { size: { type: 'string', default: '382' }, repeat: { type: 'string', default: '3' } },
});
const config = { size: Number(values.size) * MIB, repeat: Number(values.repeat) };
const report = { size_MiB: config.size / MIB, repeat: config.repeat };
for (const name of positionals.length > 0 ? positionals : Object.keys(PARTS)) {
  const { run, rows } = PARTS[name];
  const stage = await Stage.open(); // each part has a network of its own, and leaves no bytes to the next one
  try {
    report[name] = await run(stage, config);
    console.log(`${table(rows(report[name]))}\n`);
  } finally {
    await stage.close();
  }
}
await mkdir(join(top, 'build'), { recursive: true });
await writeFile(join(top, 'build', 'bench_restore.json'), `${JSON.stringify(report, null, 2)}\n`);
