// What the engine's tests share: compiled canisters, a stand-in for the network, and calls with raw bytes or Candid.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after } from 'node:test';
import { fileURLToPath } from 'node:url';
import { IDL } from '@icp-sdk/core/candid';
import { CanisterEngine } from '../engine/canister.mjs';
import { didNotReply, faultToReject } from '../engine/reject.mjs';

const here = fileURLToPath(new URL('.', import.meta.url));
const canisters = join(here, '../../canisters');

export const ID = Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 1, 1, 1);
export const NAME = 'rrkah-fqaaa-aaaaa-aaaaq-cai'; // ID as text
export const CONTROLLER = Uint8Array.of(1, 2, 3, 2);
export const STRANGER = Uint8Array.of(4);
export const PAGE = 65536;

/** A directory of the test's own, removed when the file's tests are done. */
export function scratch() {
  const dir = mkdtempSync(join(tmpdir(), 'canisterfs-engine-'));
  after(() => rmSync(dir, { recursive: true, force: true }));
  return dir;
}

/** Compiles the test canisters where that is due. Returns NAME -> module bytes. */
export function buildCanisters() {
  const out = join(here, '../../../.build/canisters');
  execFileSync(join(canisters, 'build.sh'), [out], { stdio: ['ignore', 'inherit', 'inherit'] });
  return (name) => new Uint8Array(readFileSync(join(out, `${name}.wasm`)));
}

/** Compiles fixture/NAME.c for 'wasm32' or 'wasm64'. */
export function buildFixture(name, target) {
  const out = join(scratch(), `${name}.wasm`);
  execFileSync(
    'clang',
    [
      `--target=${target}`,
      '-std=c11',
      '-O2',
      '-mbulk-memory',
      '-ffreestanding',
      '-nostdlib',
      '-Wall',
      '-Wextra',
      '-I',
      canisters,
      '-Wl,--no-entry,--strip-all,--stack-first,-z,stack-size=65536',
      ...(target === 'wasm64' ? ['-Wl,-mwasm64'] : []),
      '-o',
      out,
      join(here, `fixture/${name}.c`),
    ],
    { stdio: 'inherit' },
  );
  return new Uint8Array(readFileSync(out));
}

/** A network with a clock that moves by a second per look, one controller, and a log. */
export function makeEnv(changes = {}) {
  const env = {
    now: 1_700_000_000_000_000_000n,
    lines: [],
    time: () => (env.now += 1_000_000_000n),
    isController: (principal) => Buffer.compare(principal, CONTROLLER) === 0,
    rootKey: Uint8Array.of(1, 2, 3),
    dataCertificate: () => null,
    subnetId: Uint8Array.of(9, 9, 2),
    status: () => 1,
    cycles: () => 10n ** 14n,
    variables: () => [],
    wasmMemoryLimit: () => 0,
    wasmMemoryThreshold: () => 0,
    instructionPercent: () => 100,
    log: (text) => env.lines.push(text),
    ...changes,
  };
  return env;
}

export function makeEngine(module, { env = makeEnv(), arg = new Uint8Array(0) } = {}) {
  const engine = new CanisterEngine({ id: ID, env });
  engine.install({ mode: 'install', module, arg, caller: CONTROLLER });
  return engine;
}

/** nat64s, little endian, as the probe reads its arguments. */
export function words(...numbers) {
  const bytes = Buffer.alloc(8 * numbers.length);
  numbers.forEach((n, i) => bytes.writeBigUInt64LE(BigInt.asUintN(64, BigInt(n)), 8 * i));
  return new Uint8Array(bytes);
}

/** Calls and returns a copy of the reply, as the network does for a method that makes no calls. kind: 'query' or 'update'. */
export async function call(engine, kind, method, arg = new Uint8Array(0), caller = CONTROLLER) {
  const { response } = engine[kind]({ method, arg, caller });
  if (response === null) throw faultToReject(didNotReply(), ID);
  if (response.error) throw response.error;
  return Uint8Array.from(response.reply);
}

export async function callCandid(engine, kind, method, [types, results], values = [], caller = CONTROLLER) {
  const reply = await call(engine, kind, method, new Uint8Array(IDL.encode(types, values)), caller);
  return IDL.decode(results, reply);
}

/** Asserts that a call ends in this reject, with the message matching. */
export async function rejects(promise, errorCode, message) {
  await assert.rejects(promise, (error) => {
    assert.equal(error.name, 'RejectError', error.stack);
    assert.equal(error.errorCode, errorCode, error.message);
    assert.equal(error.rejectCode, Number(/[1-9]/.exec(errorCode)[0]));
    assert.match(error.message, message);
    return true;
  });
}
