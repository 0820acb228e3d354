// The official client, @icp-sdk/core, as the oracle: certificate and query verification on.
import { readFileSync } from 'node:fs';
import { createPrivateKey } from 'node:crypto';
import { Actor, CanisterStatus, HttpAgent } from '@icp-sdk/core/agent';
import { IDL } from '@icp-sdk/core/candid';
import { Ed25519KeyIdentity } from '@icp-sdk/core/identity';
import { Principal } from '@icp-sdk/core/principal';
import { Stage } from './harness.mjs';

function readIdentity(file) {
  const { d } = createPrivateKey(readFileSync(file)).export({ format: 'jwk' });
  return Ed25519KeyIdentity.fromSecretKey(new Uint8Array(Buffer.from(d, 'base64url')));
}

function nat64s(...numbers) {
  return new Uint8Array(IDL.encode(numbers.map(() => IDL.Nat64), numbers.map(BigInt)));
}

const managing = IDL.Func([IDL.Record({ canister_id: IDL.Principal })], [], []);
const Settings = IDL.Record({ controllers: IDL.Opt(IDL.Vec(IDL.Principal)) });
const Management = () => IDL.Service({
  stop_canister: managing,
  uninstall_code: managing,
  delete_canister: managing,
  update_settings: IDL.Func([IDL.Record({ canister_id: IDL.Principal, settings: Settings })], [], []),
});

export class Client {
  static async open(network) {
    const client = new Client();
    client.agent = await HttpAgent.create({
      host: network.url,
      identity: readIdentity(network.identity),
      rootKey: new Uint8Array(Buffer.from(network.root_key, 'hex')),
      verifyQuerySignatures: true,
    });
    return client;
  }

  async query(canister, methodName, arg) {
    const reply = await this.agent.query(Principal.fromText(canister), { methodName, arg });
    if (reply.status !== 'replied') throw new Error(`${methodName}: ${reply.reject_message}`);
    return new Uint8Array(reply.reply.arg);
  }

  async stableRead(canister, offset, length) {
    const reply = await this.query(canister, 'stable_read', nat64s(offset, length));
    return Buffer.from(IDL.decode([IDL.Vec(IDL.Nat8)], reply)[0]);
  }

  async update(canister, methodName, arg) {
    const actor = Principal.fromText(canister);
    const { requestId, response } = await this.agent.call(actor, { methodName, arg, effectiveCanisterId: actor });
    if (response.status !== 200) throw new Error(`${methodName}: HTTP ${response.status}`);
    return requestId;
  }

  stableWrite(canister, offset, bytes) {
    const arg = IDL.encode([IDL.Nat64, IDL.Vec(IDL.Nat8)], [BigInt(offset), new Uint8Array(bytes)]);
    return this.update(canister, 'stable_write', new Uint8Array(arg));
  }

  // One of the management canister's methods above, for a canister that we control.
  async manage(canister, method, args = {}) {
    const effectiveCanisterId = Principal.fromText(canister);
    const canisterId = Principal.managementCanister();
    const ic = Actor.createActor(Management, { agent: this.agent, canisterId, effectiveCanisterId });
    await ic[method]({ canister_id: effectiveCanisterId, ...args });
  }

  // Have another controller beside us.
  async addController(canister, controller) {
    const controllers = [[await this.agent.getPrincipal(), Principal.fromText(controller)]];
    await this.manage(canister, 'update_settings', { settings: { controllers } });
  }

  async facts(canister) {
    const canisterId = Principal.fromText(canister);
    const status = await CanisterStatus.request({
      agent: this.agent,
      canisterId,
      paths: ['module_hash', 'controllers', 'candid', 'subnet'],
    });
    const hex = status.get('module_hash');
    const byBytes = (a, b) => Buffer.compare(a.toUint8Array(), b.toUint8Array());
    return {
      moduleHash: typeof hex === 'string' ? hex.replace(/^0x/, '') : Buffer.from(hex).toString('hex'),
      controllers: status.get('controllers').sort(byBytes).map((p) => p.toText()),
      candid: status.get('candid'),
      subnet: status.get('subnet')?.subnetId,
    };
  }
}

// A stage, a network on it and a client of that. The stage is closed when the others fail.
export async function openNetwork(args) {
  const stage = await Stage.open();
  try {
    const network = await stage.network(args);
    return { stage, network, client: await Client.open(network) };
  } catch (error) {
    await stage.close();
    throw error;
  }
}
