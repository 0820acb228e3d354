// The canisters of tests/canisters, put on some network through the management canister.
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Actor } from '@icp-sdk/core/agent';
import { IDL } from '@icp-sdk/core/candid';
import { Principal } from '@icp-sdk/core/principal';
import { top } from './harness.mjs';

export const SOURCES = join(top, 'tests', 'canisters');
const built = join(top, '.build', 'canisters');

const Blob = IDL.Vec(IDL.Nat8);
const Canister = IDL.Record({ canister_id: IDL.Principal });
const update = (args, results) => IDL.Func(args, results, []);
const Upgrade = IDL.Record({
  skip_pre_upgrade: IDL.Opt(IDL.Bool),
  wasm_memory_persistence: IDL.Opt(IDL.Variant({ keep: IDL.Null, replace: IDL.Null })),
});
const Management = () =>
  IDL.Service({
    provisional_create_canister_with_cycles: update([IDL.Record({})], [Canister]),
    stop_canister: update([Canister], []),
    start_canister: update([Canister], []),
    install_code: update(
      [
        IDL.Record({
          mode: IDL.Variant({ reinstall: IDL.Null, upgrade: IDL.Opt(Upgrade) }),
          canister_id: IDL.Principal,
          wasm_module: Blob,
          arg: Blob,
        }),
      ],
      [],
    ),
  });

// A canister id that the local network's subnet has (tests/replica/README.md): where creating calls are sent to.
const OF_THE_SUBNET = Principal.fromText('i3flu-baaaa-aaaai-aaaaa-cai');

const compiled = new Map();

// The Wasm module that build.sh makes of a source, by its name without the ending.
export function moduleOf(name) {
  if (compiled.size === 0)
    execFileSync(join(SOURCES, 'build.sh'), [built], { stdio: ['ignore', 'inherit', 'inherit'] });
  if (!compiled.has(name)) compiled.set(name, new Uint8Array(readFileSync(join(built, `${name}.wasm`))));
  return compiled.get(name);
}

const ic = (agent, effectiveCanisterId) =>
  Actor.createActor(Management, { agent, canisterId: Principal.managementCanister(), effectiveCanisterId });

// The principal of a new canister, which the agent's identity controls.
export async function createCanister(agent) {
  return (await ic(agent, OF_THE_SUBNET).provisional_create_canister_with_cycles({})).canister_id;
}

export function manage(agent, principal, method, args = {}) {
  return ic(agent, principal)[method]({ canister_id: principal, ...args });
}

// arg: the encoded arguments of init.
export function installCode(agent, principal, module, arg = IDL.encode([], [])) {
  const args = { mode: { reinstall: null }, wasm_module: module, arg: new Uint8Array(arg) };
  return manage(agent, principal, 'install_code', args);
}

// keepMemory: as Motoko's programs ask for.
export function upgradeCode(agent, principal, module, { skipPreUpgrade = false, keepMemory = false } = {}) {
  const persistence = keepMemory ? [{ keep: null }] : [];
  const mode = { upgrade: [{ skip_pre_upgrade: [skipPreUpgrade], wasm_memory_persistence: persistence }] };
  const args = { mode, wasm_module: module, arg: new Uint8Array(IDL.encode([], [])) };
  return manage(agent, principal, 'install_code', args);
}
