// The command: its options, the ready line, the endpoints for tests.

import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { get } from 'node:https';
import { createInterface } from 'node:readline';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { OPTIONS } from '../network.mjs';
import { scratch } from './engine_fixture.mjs';

const main = fileURLToPath(new URL('../main.mjs', import.meta.url));

/** Runs the command until `use` is done with the ready line; it must end well. */
async function running(args, use) {
  const child = spawn(process.execPath, [main, ...args], { stdio: ['ignore', 'pipe', 'inherit'] });
  try {
    const [line] = await once(createInterface(child.stdout), 'line');
    await use(JSON.parse(line));
  } finally {
    child.kill('SIGTERM');
    assert.deepEqual(await once(child, 'exit'), [0, null]);
  }
}

const failing = (...args) =>
  new Promise((resolve) => execFile(process.execPath, [main, ...args], (error, out, err) => resolve([error?.code, out, err])));

test('help names every option of the network', async () => {
  const [code, out] = await failing('--help');
  assert.equal(code, undefined);
  for (const own of Object.keys(OPTIONS)) {
    assert.match(out, new RegExp(`--${own.replace(/[A-Z]/g, (c) => `-${c.toLowerCase()}`)} `), own);
  }
});

test('what it does not understand', async () => {
  for (const [args, text] of [
    [['--nope'], /nope/],
    [['--query-ms', 'x'], /--query-ms: 'x' is not a number/],
    [['--skew-ms=1.5'], /--skew-ms: '1.5' is not a whole number/],
    [['--fault-seed', '1', '--fault-rate', '1.5'], /--fault-rate: '1.5' is not a rate/],
    [['--fault-seed', '1', '--fault-kinds', 'nope'], /no fault kind 'nope'/],
    [['--block-bytes', '4X'], /--block-bytes: '4X' is not a size/],
  ]) {
    const [code, out, err] = await failing(...args);
    assert.deepEqual([code, out], [1, ''], args.join(' '));
    assert.match(err, text);
  }
});

test('options, faults and nodes change at run time; the log tells of faults', async () => {
  const args = ['--fault-seed', '5', '--fault-rate', '1', '--fault-kinds', 'http', '--skew-ms=-1000'];
  await running(args, async ({ url }) => {
    const status = async () => (await fetch(`${url}/api/v2/status`)).status;
    assert.ok([429, 500, 503].includes(await status()));
    const post = async (path, body) => (await fetch(url + path, { method: 'POST', body: JSON.stringify(body) })).status;
    assert.equal(await post('/_test/faults', []), 200);
    assert.equal(await status(), 200);
    assert.equal(await post('/_test/faults', [{ kind: 'nope' }]), 400);
    assert.equal(await post('/_test/options', { queryMs: 1, blockMs: 0 }), 200);
    assert.equal(await post('/_test/options', { querySeconds: 1 }), 400);
    assert.equal(await post('/_test/options', { queryMs: 'x' }), 400);
    assert.equal(await post('/_test/rotate_nodes'), 200);
    assert.equal(await post('/_test/nope'), 404);
    const log = await (await fetch(`${url}/_test/log`)).json();
    assert.deepEqual(log.map(({ endpoint, fault }) => [endpoint, fault]), [['status', 'http'], ['status', null]]);
  });
});

test('TLS: the authority is in a file', async () => {
  const dir = scratch();
  await running(['--http2', '--state', dir], async ({ url, ca }) => {
    assert.match(url, /^https:/);
    assert.ok(ca.startsWith(dir));
    const answer = await new Promise((resolve, reject) => {
      get(`${url}/api/v2/status`, { ca: readFileSync(ca), agent: false }, resolve).on('error', reject);
    });
    answer.resume();
    assert.equal(answer.statusCode, 200);
  });
});
