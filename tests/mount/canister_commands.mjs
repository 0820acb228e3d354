// A canister with state on its heap, on a network of its own, and a mount of it: for commands that change it as a whole.
import { mkdtempSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { IDL } from '@icp-sdk/core/candid';
import { Client } from './client.mjs';
import { errnoName, eventually, run } from './harness.mjs';
import { createCanister, installCode, moduleOf } from './install.mjs';
import { snapshotsOf } from './snapshots.mjs';

const encode = (types, values) => new Uint8Array(IDL.encode(types, values));

// An application whose posts are on the heap (tests/canisters/distrikt.c).
export class Rig {
  static async open(stage, args = []) {
    const rig = new Rig();
    rig.stage = stage;
    rig.network = await stage.network(args);
    rig.client = await Client.open(rig.network);
    return rig;
  }

  // module: its name, or its bytes
  async begin(options = ['rw'], module = 'distrikt') {
    await this.network.faults([]);
    const principal = await createCanister(this.client.agent);
    await installCode(this.client.agent, principal, typeof module === 'string' ? moduleOf(module) : module);
    return this.over(principal.toText(), options);
  }

  async over(id, options) {
    const canister = new Canister();
    const staging = mkdtempSync(join(this.stage.dir, 'staging-'));
    Object.assign(canister, { rig: this, id, staging, snapshots: snapshotsOf(this.client, id) });
    canister.options = [...options, `identity=${this.network.identity}`, `staging_dir=${staging}`, 'timeout=5s'];
    await canister.mountAgain();
    return canister;
  }
}

class Canister {
  async mountAgain() {
    this.mount = await this.rig.stage.mount(this.rig.network, this.id, ['-o', this.options.join()]);
  }

  async killDaemon() {
    this.mount.child.kill('SIGKILL');
    await this.mount.exited;
    await run('fusermount3', ['-uz', this.mount.point]).catch(() => {});
  }

  // How often each of the first n items was restored (tests/canisters/in_ranges.c).
  async given(n) {
    const counts = [];
    for (let i = 0; i < n; i++) {
      const reply = await this.rig.client.query(this.id, 'given', encode([IDL.Nat64], [BigInt(i)]));
      counts.push(Number(IDL.decode([IDL.Nat64], reply)[0]));
    }
    return counts;
  }

  post(text) {
    return this.rig.client.update(this.id, 'post', encode([IDL.Text], [text]));
  }

  async posts() {
    const reply = await this.rig.client.query(this.id, 'post_count', encode([], []));
    return Number(IDL.decode([IDL.Nat64], reply)[0]);
  }

  // 'running' or 'stopped': by what a query is answered.
  async state() {
    return this.posts().then(
      () => 'running',
      (error) => {
        if (/stopp(ed|ing)/.test(error.message)) return 'stopped';
        throw error;
      },
    );
  }

  // One write(2) to control: 'done', or the name of its errno.
  async write(text) {
    const file = await open(this.mount.path('.canisterfs', 'control'), 'w');
    try {
      await file.write(text);
      return 'done';
    } catch (error) {
      return errnoName(error);
    } finally {
      await file.close();
    }
  }

  status() {
    return this.mount.json('status');
  }

  // Why the last command was refused.
  async words() {
    return (await this.status()).last_errors.at(-1).message;
  }

  // Its job once it has ended. look: called with it whenever it is looked at before.
  async command(text, look, deadlineMs) {
    const accepted = await this.write(text);
    if (accepted !== 'done') throw new Error(`${text}: ${accepted}: ${await this.words()}`);
    return this.mount.ended(text, look, deadlineMs);
  }

  // The methods of the calls that a command makes.
  async callsOf(text, look) {
    let job;
    const requests = await this.rig.network.requestsDuring(async () => (job = await this.command(text, look)));
    const calls = requests.filter(({ endpoint }) => endpoint === 'call').map(({ method }) => method);
    return { job, calls, requests };
  }

  hold(n, fault) {
    return this.rig.network.faults([{ endpoint: 'call', nth: n, ...fault }]);
  }

  // Until that call is held, or the command has ended without; false then.
  async held(text, hold) {
    let found = false;
    await eventually(async () => {
      const active = await (await fetch(new URL('/_test/active', this.rig.network.url))).json();
      found = active.some(({ fault, status }) => fault === hold.kind && (!hold.in_body || status !== 0));
      const { jobs } = await this.status();
      const job = jobs.findLast((other) => other.command === text);
      return found || job?.state === 'done' || job?.state === 'failed';
    });
    return found;
  }
}
