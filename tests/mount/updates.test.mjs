// Update calls of ic/ against the local network, whose protocol was written independently: whatever happens to the
// answer, the outcome comes, certified, and the call ran exactly once. Each grows the sample's memory by one page.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { promisify } from 'node:util';
import { Stage, top } from './harness.mjs';

const tool = join(top, 'build', 'tests', 'ic', 'agent_tool');
const PAGE = 65536n;
const ONE_PAGE = '4449444c0001780100000000000000'; // (1 : nat64)
const NOTHING = '4449444c0000';

// What becomes of the answer; of the first call only, unless nth is null.
const MENDED = [
  { kind: 'lost_reply' },
  { kind: 'refuse' },
  { kind: 'reset' },
  { kind: 'truncate' },
  { kind: 'truncate_body' },
  { kind: 'garbage' },
  { kind: 'http', status: 502 },
  { kind: 'http', status: 503 },
  { kind: 'http', status: 429 },
  { kind: 'stale', nth: null },
  { kind: 'wrong_certificate', nth: null },
  { kind: 'other_subnet', nth: null },
  { kind: 'request_status', as: 'pruned', nth: null },
  { kind: 'request_status', as: 'absent', nth: null },
  { kind: 'request_status', as: 'processing', nth: null },
  { kind: 'duplicate', nth: null },
];

describe('updates', () => {
  let stage, network;

  before(async () => {
    stage = await Stage.open();
    network = await stage.network(['--demo', '--demo-size', '1M']);
  });
  after(() => stage.close());

  const call = async (kind, method, arg, ms = 20000) => {
    const { stdout } = await promisify(execFile)(tool, [
      ...[kind, '--url', network.url, '--root-key', network.root_key, '--canister', network.canisters.sample],
      ...['--identity', network.identity, '--method', method, '--arg', arg, '--timeout-ms', String(ms)],
    ]);
    return Buffer.from(stdout.trim(), 'hex').readBigUInt64LE(7); // behind DIDL, no types, one argument of a number type
  };
  const size = () => call('query', 'stable_size', NOTHING);

  for (const { nth = 1, ...fault } of MENDED) {
    test(`${Object.values(fault).join(' ')}${nth === null ? ', always' : ''}`, async () => {
      const pages = (await size()) / PAGE;
      await network.faults([{ endpoint: 'call', ...fault, ...(nth === null ? {} : { nth }) }]);
      assert.equal(await call('update', 'stable_grow', ONE_PAGE), pages, 'its reply: the size before');
      await network.faults([]);
      assert.equal((await size()) / PAGE, pages + 1n, 'it ran once');
    });
  }

  test('an outcome that nothing certifies is said to be unknown', async () => {
    const pages = (await size()) / PAGE;
    await network.faults([{ kind: 'request_status', as: 'pruned' }]);
    await assert.rejects(call('update', 'stable_grow', ONE_PAGE), /may have run/);
    await network.faults([{ kind: 'request_status', as: 'done' }]);
    await assert.rejects(call('update', 'stable_grow', ONE_PAGE), /it ran, its outcome is forgotten/);
    await network.faults([]);
    assert.equal((await size()) / PAGE, pages + 2n, 'each ran once');
  });
});
