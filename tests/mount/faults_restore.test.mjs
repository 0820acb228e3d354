// Every fault of the local network, on the n-th request of a small restore, for all n: the tool succeeds and the canister is
// new; or it fails with an errno of the table, the canister is old or new, never mixed (where it offers restores in stages),
// and the same once more ends in the new content, with no second effect.
//
// A part of it by default, all with CANISTERFS_TEST_LONG=1.
import assert from 'node:assert/strict';
import { after, before, describe } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { Rig } from './crash.mjs';
import { Stage } from './harness.mjs';
import { inLanes, LANES } from './lanes.mjs';

const isLong = process.env.CANISTERFS_TEST_LONG === '1';
// A failed look's errno is kept for 2 s.
const FORGET_MS = 2200;
// More than any of these restores asks for.
const REQUESTS_MAX = 100;

// Words of the errnos of design.md's table.
const TABLE = /Connection timed out|Interrupted system call|No route to host|Protocol error|Bad message|Permission denied|No such file|Stale file handle|No space left|File too large|Device or resource busy|Input\/output error|Invalid argument/;

// kind, parameters, whether it is tried by default.
const ROWS = [
  ['refuse', {}, true],
  ['lost_reply', {}, true],
  ['reset', {}],
  ['truncate', {}],
  ['close', {}],
  ['stall', { ms: 300 }],
  ['stall', { ms: 300, in_body: true }],
  ['late', { ms: 300 }],
  ['drip', { bytes: 1000, ms: 5 }],
  ['http', { status: 503 }, true],
  ['http', { status: 500 }],
  ['http', { status: 429, retry_after: 0 }],
  ['http', { status: 403 }],
  ['truncate_body', {}],
  ['forged_reply', {}, true],
  ['garbage', {}],
  ['other_reply', {}],
  ['wrong_node_signature', {}],
  ['unknown_node', {}],
  ['short_blob', { is_random: true }], // of a reply that is a blob
  ['long_blob', { is_random: true }],
  ['wrong_candid', {}],
  ['stale', {}],
  ['stale', { seconds: -600 }],
  ['wrong_certificate', {}, true],
  ['wrong_certificate', { negated: true }],
  ['other_subnet', {}],
  ['request_status', { as: 'pruned' }],
  ['request_status', { as: 'absent' }],
  ['request_status', { as: 'processing' }],
  ['request_status', { as: 'done' }, true],
  ['duplicate', {}, true],
  ['rotate_nodes', {}],
];

const words = (kind, parameters) => [kind, ...Object.entries(parameters).map(([k, v]) => `${k}=${v}`)].join(' ');

let stage;
let nCases = 0;
const failed = {};
before(async () => (stage = await Stage.open()));
after(async () => {
  console.log(`# ${nCases} faults; restores that failed and were repeated: ${JSON.stringify(failed)}`);
  await stage.close();
});

// False: there are fewer requests than n.
async function disturb(rig, shape, n, fault) {
  const restore = await rig.begin(shape);
  const began = (await rig.network.log()).length;
  await rig.network.faults([{ canister: restore.canister.id, nth: n, ...fault }]);
  const { code, words: said } = await restore.start('cp').ended;
  await rig.network.faults([]);
  const isHit = (await rig.network.log()).slice(began).some((entry) => entry.fault === fault.kind);
  const state = await restore.look();
  if (code === 0) {
    assert.equal(state, 'new');
  } else {
    assert.ok(isHit, said);
    assert.match(said, TABLE);
    failed[fault.kind] = (failed[fault.kind] ?? 0) + 1;
    await sleep(FORGET_MS);
    await restore.repeat('cp');
  }
  await restore.end('cp');
  return isHit;
}

describe('faults of restores', { concurrency: isLong ? 4 * LANES : LANES }, () => {
  const laneTest = inLanes(() => Rig.open(stage), isLong ? 4 * LANES : LANES);
  for (const shape of isLong ? ['stable64', 'factland', 'items', 'sample_steps', 'sample', 'dscvr'] : ['sample', 'items'])
    for (const [kind, parameters, isShort] of ROWS)
      if (isLong || isShort)
        laneTest(`${shape}: ${words(kind, parameters)}`, async (rig) => {
          let n = 1;
          for (let isHit = true; isHit; n++) {
            assert.ok(n < REQUESTS_MAX);
            isHit = await disturb(rig, shape, n, { kind, ...parameters }).catch((error) => Promise.reject(new Error(`request ${n}: ${error.message}`, { cause: error })));
            nCases += isHit;
          }
          assert.ok(n > 3, 'some requests were disturbed');
        });
});
