// Two canisters of the system, played by the network itself as far as `icp canister create` and `delete` need them:
// the cycles minting canister, which says where new canisters go, and the cycles ledger, which holds people's cycles.
// Interfaces: their published .did files.

import { IDL } from '@icp-sdk/core/candid';
import { Principal } from '@icp-sdk/core/principal';
import * as types from './candid_types.mjs';
import { CYCLES_LEDGER, CYCLES_MINTING } from './canisters.mjs';
import { faultToReject, noMethod, RejectError } from './engine/reject.mjs';
import { hexOf } from './principal.mjs';

/** What everybody has in the ledger who was never seen there: this network mints what its users need. */
const FIRST_BALANCE = 1_000_000_000_000_000n; // 1000 T
const FEE = 100_000_000n;
const NO_SUBACCOUNT = Buffer.alloc(32);

const encode = (argTypes, values) => new Uint8Array(IDL.encode(argTypes, values));

/** A canister of methods in JavaScript: name -> { query?, argument: Candid types, result: types, run(values, call) }. */
class SystemCanister {
  #methods;

  constructor(id, methods) {
    this.id = id;
    this.#methods = { __proto__: null, ...methods };
  }

  /** Nothing is refused before it is executed. */
  inspect() {}

  async query(message, use) {
    if (!this.#methods[message.method]?.query) throw this.#unknown('query', message.method);
    return use(await this.#run(message));
  }

  async update(message, begin = () => {}) {
    begin();
    return this.#run(message);
  }

  async receive({ cycles = 0n, ...message }) {
    const call = { ...message, cycles };
    try {
      return { reply: await this.#run(call), refund: call.cycles };
    } catch (error) {
      return { error, refund: call.cycles };
    }
  }

  #unknown(kind, name) {
    return faultToReject(noMethod(kind, name), this.id);
  }

  async #run(call) {
    const method = this.#methods[call.method];
    if (method === undefined) throw this.#unknown('update', call.method);
    let values;
    try {
      values = IDL.decode(method.argument, new Uint8Array(call.arg));
    } catch (error) {
      throw new RejectError(5, 'IC0503', `Error decoding the argument of ${call.method}: ${error.message}`);
    }
    return encode(method.result, [await method.run(values, call)]);
  }
}

function makeCyclesMinting(subnetId) {
  const subnets = { query: true, argument: [], result: [IDL.Vec(IDL.Principal)], run: () => [Principal.fromUint8Array(subnetId)] };
  return new SystemCanister(CYCLES_MINTING, { get_default_subnets: subnets });
}

/** Balances by account. The ledger's blocks are only counted. */
class CyclesLedger {
  #balances = new Map();
  #blocks = 0n;

  key(owner, subaccount) {
    return `${hexOf(owner)} ${hexOf(subaccount ? Buffer.from(subaccount) : NO_SUBACCOUNT)}`;
  }

  balance(key) {
    return this.#balances.get(key) ?? FIRST_BALANCE;
  }

  /** @returns {bigint} the new block's number */
  add(key, amount) {
    this.#balances.set(key, this.balance(key) + amount);
    return this.#blocks++;
  }

  toJSON() {
    return { balances: [...this.#balances].map(([key, amount]) => [key, String(amount)]), blocks: String(this.#blocks) };
  }

  restore({ balances, blocks }) {
    this.#balances = new Map(balances.map(([key, amount]) => [key, BigInt(amount)]));
    this.#blocks = BigInt(blocks);
  }
}

const accountKey = (ledger, { owner, subaccount: [subaccount] }) => ledger.key(owner.toUint8Array(), subaccount);

function makeCyclesLedger(ledger, { canisters, management }) {
  return new SystemCanister(CYCLES_LEDGER, {
    icrc1_balance_of: {
      query: true,
      argument: [types.Account],
      result: [IDL.Nat],
      run: ([account]) => ledger.balance(accountKey(ledger, account)),
    },
    icrc1_fee: { query: true, argument: [], result: [IDL.Nat], run: () => FEE },
    icrc1_decimals: { query: true, argument: [], result: [IDL.Nat8], run: () => 12 },
    icrc1_symbol: { query: true, argument: [], result: [IDL.Text], run: () => 'TCYCLES' },
    create_canister: {
      argument: [types.LedgerCreateArgs],
      result: [types.LedgerCreateResult],
      run: ([args], { caller }) => createCanister(ledger, management, args, caller),
    },
    deposit: {
      argument: [types.LedgerDepositArgs],
      result: [types.LedgerDepositResult],
      run([{ to }], call) {
        if (call.cycles < FEE) throw new RejectError(5, 'IC0503', `A deposit of ${call.cycles} cycles is below the fee`);
        const key = accountKey(ledger, to);
        const block = ledger.add(key, call.cycles - FEE);
        call.cycles = 0n;
        return { block_index: block, balance: ledger.balance(key) };
      },
    },
    withdraw: {
      argument: [types.LedgerWithdrawArgs],
      result: [types.LedgerWithdrawResult],
      run([{ amount, to, from_subaccount: [subaccount] }], { caller }) {
        const key = ledger.key(caller, subaccount);
        if (ledger.balance(key) < amount + FEE) return { Err: { InsufficientFunds: { balance: ledger.balance(key) } } };
        const canister = canisters.find(to.toUint8Array());
        if (canister === null) return { Err: { InvalidReceiver: { receiver: to } } };
        canister.cycles += amount;
        return { Ok: ledger.add(key, -amount - FEE) };
      },
    },
  });
}

async function createCanister(ledger, management, { amount, from_subaccount: [subaccount], creation_args: [given] }, caller) {
  const key = ledger.key(caller, subaccount);
  if (ledger.balance(key) < amount + FEE) return { Err: { InsufficientFunds: { balance: ledger.balance(key) } } };
  // The creator controls the canister, not the ledger that makes it.
  const settings = given?.settings[0] ?? {};
  const controllers = settings.controllers?.length ? settings.controllers : [[Principal.fromUint8Array(caller)]];
  const arg = encode([types.CreateCanister], [{ settings: [fullSettings({ ...settings, controllers })], sender_canister_version: [] }]);
  try {
    const call = { method: 'create_canister', arg, caller: CYCLES_LEDGER, cycles: amount, isCanister: true };
    const [{ canister_id: id }] = IDL.decode([types.CanisterId], await management.call(call));
    return { Ok: { block_id: ledger.add(key, -amount - FEE), canister_id: id } };
  } catch (error) {
    if (!(error instanceof RejectError)) throw error;
    return { Err: { FailedToCreate: { fee_block: [], refund_block: [], error: error.message } } };
  }
}

/** Candid wants every optional field named. */
export const fullSettings = (given) =>
  Object.fromEntries(types.Settings._fields.map(([name]) => [name, given[name] ?? []]));

export class SystemCanisters {
  #ledger = new CyclesLedger();
  #all;

  /** @param {object} network  subnetId, canisters, management */
  constructor(network) {
    const all = [makeCyclesMinting(network.subnetId), makeCyclesLedger(this.#ledger, network)];
    this.#all = new Map(all.map((canister) => [hexOf(canister.id), canister]));
  }

  /** @returns {SystemCanister|null} */
  find(id) {
    return this.#all.get(hexOf(id)) ?? null;
  }

  save() {
    return this.#ledger.toJSON();
  }

  restore(saved) {
    this.#ledger.restore(saved);
  }
}
