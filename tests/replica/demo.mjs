// The canisters of `--demo`, installed through the management canister like anybody's.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { IDL } from '@icp-sdk/core/candid';
import { Principal } from '@icp-sdk/core/principal';

const MANAGEMENT = new Uint8Array(0);
const GIB = 2n ** 30n;
const PAGE = 65536n;

/** What Motoko demands and C ignores: Candid's empty list of arguments. */
const NO_ARGUMENT = new Uint8Array(IDL.encode([], []));

const InstallArgs = IDL.Record({
  mode: IDL.Variant({ install: IDL.Null, reinstall: IDL.Null, upgrade: IDL.Opt(IDL.Record({})) }),
  canister_id: IDL.Principal,
  wasm_module: IDL.Vec(IDL.Nat8),
  arg: IDL.Vec(IDL.Nat8),
  sender_canister_version: IDL.Opt(IDL.Nat64),
});

export async function install(network, owner, wasm) {
  const id = await network.createCanister({ controllers: [owner] });
  await installCode(network, owner, id, wasm, { install: null });
  return id;
}

export async function installCode(network, owner, id, wasm, mode) {
  const args = {
    mode,
    canister_id: Principal.fromUint8Array(id),
    wasm_module: wasm,
    arg: NO_ARGUMENT,
    sender_canister_version: [],
  };
  await network.callAs(owner, MANAGEMENT, 'install_code', new Uint8Array(IDL.encode([InstallArgs], [args])));
}

function nat64s(...numbers) {
  return new Uint8Array(IDL.encode(numbers.map(() => IDL.Nat64), numbers.map(BigInt)));
}

function writeArgs(offset, bytes) {
  return new Uint8Array(IDL.encode([IDL.Nat64, IDL.Vec(IDL.Nat8)], [BigInt(offset), bytes]));
}

// Where `sparse` has bytes, and which: the text of the offset, so that a reader knows what to expect.
export const SPARSE_OFFSETS = [0n, 4n * GIB - 8n, 4n * GIB + 4096n, 100n * GIB - 32n, 100n * GIB];

export function sparseText(offset) {
  return Buffer.from(`offset ${offset}\n`);
}

export const MOTOKO_TEXT = Buffer.from('A Motoko canister keeps these bytes in a region of its stable memory.\n'.repeat(1000));

// The contents that `dscvr` has, of seed 1; tests/mount/dscvr.mjs tells what each holds.
export const DSCVR_CONTENTS = 5000;

export const POSTS = ['The first post.', 'Another one, with more to say: ' + 'and so on, '.repeat(200) + 'to the end.', 'Grüße aus Zürich'];

// Returns { name: id in text form }.
export async function installDemo(network, owner, wasmDir, { size, seed }) {
  const wasm = (name) => new Uint8Array(readFileSync(join(wasmDir, `${name}.wasm`)));
  const ids = {};
  const add = async (name, module) => {
    const id = await install(network, owner, wasm(module));
    ids[name] = Principal.fromUint8Array(id).toText();
    return id;
  };
  // 64 MiB of a stream that a reader can compute at any offset.
  const sample = await add('sample', 'sample');
  await network.callAs(owner, sample, 'seed', nat64s(size, seed));
  // A little more than 100 GiB, nearly all of it never written.
  const sparse = await add('sparse', 'sample');
  await network.callAs(owner, sparse, 'stable_grow', nat64s((100n * GIB) / PAGE + 1n));
  for (const offset of SPARSE_OFFSETS)
    await network.callAs(owner, sparse, 'stable_write', writeArgs(offset, sparseText(offset)));
  // The same methods over no memory at all, and a canister with none of the methods.
  await add('blank', 'sample');
  await add('hello', 'hello');
  // The sample's read side in Motoko, with a little text.
  const motoko = await add('motoko', 'motoko');
  await network.callAs(owner, motoko, 'stable_write', writeArgs(0n, MOTOKO_TEXT));
  // An application; its upgrade has left its posts in stable memory, which only the owner reads.
  const distrikt = await add('distrikt', 'distrikt');
  for (const text of POSTS) await network.callAs(owner, distrikt, 'post', new Uint8Array(IDL.encode([IDL.Text], [text])));
  await installCode(network, owner, distrikt, wasm('distrikt'), { upgrade: [] });
  // An application that offers its items with backup methods.
  const dscvr = await add('dscvr', 'dscvr');
  await network.callAs(owner, dscvr, 'fill', nat64s(DSCVR_CONTENTS, 1));
  return ids;
}
