// The maintenance lease against the local network's sample, which refuses `work` while it is held: what is in flight is
// waited for, replies get lost, holders die.
import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { after, afterEach, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { eventually, networkArgs, Stage, tethered, top } from './harness.mjs';

const DRIVER = join(top, 'build', 'tests', 'fs', 'lease_driver');
const TOOL = join(top, 'build', 'tests', 'ic', 'agent_tool');

class Driver {
  #lines;
  stderr = '';

  constructor(child) {
    this.child = child;
    this.#lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
    child.stderr.on('data', (chunk) => (this.stderr += chunk));
  }

  async ask(command) {
    this.child.stdin.write(`${command}\n`);
    const { value, done } = await this.#lines.next();
    if (done) throw new Error(`lease_driver ended: ${this.stderr}`);
    return JSON.parse(value);
  }

  async is(result, command) {
    const answer = await this.ask(command);
    assert.equal(answer.result, result, `${command}: ${answer.message}`);
    return answer;
  }

  async end(signal) {
    if (this.child.exitCode !== null || this.child.signalCode !== null) return;
    const exited = once(this.child, 'close');
    if (signal) this.child.kill(signal);
    else this.child.stdin.end();
    const [code] = await exited;
    if (!signal) assert.equal(code, 0, this.stderr);
  }
}

describe('maintenance lease', () => {
  let stage, network;
  const drivers = [];

  before(async () => {
    stage = await Stage.open();
    network = await stage.network(['--demo', '--demo-size', '1M']);
  });
  afterEach(async () => {
    await network.faults([]);
    for (const driver of drivers.splice(0)) await driver.end();
    await eventually(async () => !(await isPaused()));
  });
  after(() => stage.close());

  const open = (ttl = 60, linger = 200, mode = 'auto', options = []) => {
    const words = [mode, String(ttl), String(linger), '--'];
    const args = ['-o', `identity=${network.identity}`, ...networkArgs(network), ...options];
    const child = spawn(...tethered(DRIVER, [...words, ...args, network.canisters.sample, '/nowhere']));
    const driver = new Driver(child);
    drivers.push(driver);
    return driver;
  };

  const call = async (kind, method, arg) => {
    const { stdout } = await promisify(execFile)(TOOL, [
      ...[kind, '--url', network.url, '--root-key', network.root_key, '--canister', network.canisters.sample],
      ...['--identity', network.identity, '--method', method, '--arg', arg, '--timeout-ms', '30000'],
    ]);
    return Buffer.from(stdout.trim(), 'hex');
  };
  const work = (rounds) => {
    const arg = Buffer.alloc(8);
    arg.writeBigUInt64LE(BigInt(rounds));
    return call('update', 'work', `4449444c000178${arg.toString('hex')}`);
  };
  // record { lease_expires_ns; in_flight : nat64; paused : bool }, in the order of their hashes: paused is last.
  const isPaused = async () => (await call('query', 'maintenance_status', '4449444c0000')).at(-1) === 1;
  const calls = (log, method) => log.filter((request) => request.method === method).length;

  test('one pause for many holders, and nothing is left of it', async () => {
    const driver = open(60, 2000); // longer than a busy machine takes from one holder to the next
    assert.equal((await driver.is('ok', 'look')).offered, true, 'found by the interface');
    const log = await network.requestsDuring(async () => {
      for (let i = 0; i < 5; i++) {
        await driver.is('ok', 'hold 10000');
        assert.ok(await isPaused());
        await assert.rejects(work(1), /in maintenance: lease_driver/);
        await driver.is('ok', 'release');
      }
      await eventually(async () => !(await isPaused()));
    });
    assert.equal(calls(log, 'maintenance_pause'), 1);
    assert.equal(calls(log, 'maintenance_resume'), 1);
    await work(1);
  });

  test('what is in flight is waited for', async () => {
    const driver = open();
    await driver.is('ok', 'look');
    let isDone = false;
    const begun = work(2000).then(() => (isDone = true));
    await network.untilAsked({ method: 'work' });
    await driver.is('ok', 'hold 60000');
    await eventually(() => isDone); // its certified reply may be on the way still
    await begun;
    await driver.is('ok', 'release');
  });

  test('renewed, as long as it is held', async () => {
    const driver = open(3);
    await driver.is('ok', 'hold 10000');
    for (let i = 0; i < 10; i++) {
      await sleep(500);
      await driver.is('ok', 'check');
      assert.ok(await isPaused());
    }
    await driver.is('ok', 'release');
  });

  test('somebody else holds it', async () => {
    const [one, other] = [open(), open()];
    await one.is('ok', 'hold 10000');
    const { message } = await other.is('EBUSY', 'hold 10000');
    assert.match(message, /lease \d+: lease_driver/);
    await one.is('ok', 'release');
    await eventually(async () => !(await isPaused()));
    await other.is('ok', 'hold 10000');
    await other.is('ok', 'release');
  });

  test('its holder is killed: it expires', async () => {
    const [one, other] = [open(2), open()];
    await one.is('ok', 'hold 10000');
    await one.end('SIGKILL');
    assert.ok(await isPaused());
    await eventually(async () => !(await isPaused()));
    await other.is('ok', 'hold 10000');
    await other.is('ok', 'release');
  });

  test('the mount ends while it is held: resumed', async () => {
    const driver = open();
    await driver.is('ok', 'hold 10000');
    await driver.end();
    assert.equal(await isPaused(), false);
  });

  test('by command', async () => {
    const driver = open(60, 200, 'manual');
    await driver.is('ok', 'hold 1000');
    await driver.is('ok', 'release');
    assert.equal(await isPaused(), false, 'not by itself');
    await driver.is('ok', 'pause 10000');
    await sleep(1000);
    assert.ok(await isPaused());
    await driver.is('ok', 'resume 10000');
    assert.equal(await isPaused(), false);
    await driver.is('ENOENT', 'resume 10000');
  });

  const METHODS = {
    maintenance_pause:
      '(record { ttl_s : nat32; reason : text }) -> (variant { ok : record { lease : nat64 }; err : text })',
    maintenance_renew: '(nat64) -> (variant { ok; err : text })',
    maintenance_resume: '(nat64) -> (variant { ok; err : text })',
    maintenance_status: '() -> (record { paused : bool; lease_expires_ns : nat64; in_flight : nat64 }) query',
  };
  const INTERFACES = [
    ['others that say the same', { maintenance_pause: METHODS.maintenance_pause.replace(': text', ': opt text') }, true],
    ['one is missing', { maintenance_renew: null }, false],
    ['an argument of another type', { maintenance_resume: '(text) -> (variant { ok; err : text })' }, false],
    ['a further argument', { maintenance_renew: '(nat64, nat64) -> (variant { ok; err : text })' }, false],
    ['a result of another type', { maintenance_renew: '(nat64) -> ()' }, false],
    ['a field too few', { maintenance_status: '() -> (record { paused : bool; in_flight : nat64 }) query' }, false],
    ['an update for the status', { maintenance_status: METHODS.maintenance_status.replace(' query', '') }, false],
    ['a query that pauses', { maintenance_pause: `${METHODS.maintenance_pause} query` }, false],
  ];
  for (const [what, changed, isOffered] of INTERFACES)
    test(`${isOffered ? 'offered' : 'not offered'}: ${what}`, async () => {
      const methods = Object.entries({ ...METHODS, ...changed }).filter(([, type]) => type !== null);
      const did = join(stage.dir, 'lease.did');
      await writeFile(did, `service : { ${methods.map(([name, type]) => `${name} : ${type};`).join(' ')} }`);
      const driver = open(60, 200, 'auto', ['-o', `did=${did}`]);
      assert.equal((await driver.is('ok', 'look')).offered, isOffered);
      const log = await network.requestsDuring(async () => {
        if (isOffered) return;
        await driver.is('ok', 'hold 1000');
        await driver.is('EOPNOTSUPP', 'pause 1000');
      });
      assert.equal(log.length, 0, 'nothing is called');
    });

  for (const method of ['maintenance_pause', 'maintenance_renew', 'maintenance_resume'])
    for (const fault of [{ kind: 'lost_reply' }, { kind: 'http', status: 502 }, { kind: 'http', status: 429 }])
      test(`${Object.values(fault).join(' ')} for ${method}`, async () => {
        const driver = open(3);
        await driver.is('ok', 'look');
        await network.faults([{ endpoint: 'call', method, ...fault, nth: 1 }]);
        await driver.is('ok', 'hold 20000');
        await sleep(1500); // a renewal
        await driver.is('ok', 'check');
        assert.ok(await isPaused());
        await driver.is('ok', 'release');
        await eventually(async () => !(await isPaused()));
      });
});
