// DFINITY's `icp` command, run as a user would run it, with a home of its own.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { createRequire } from 'node:module';
import { writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { scratch } from './engine_fixture.mjs';
import { hex } from './wire_fixture.mjs';

const packageFile = createRequire(import.meta.url).resolve('@icp-sdk/icp-cli-linux-x64/package.json');
const binary = join(dirname(packageFile), 'bin/icp');

export function makeIcp(net) {
  const home = scratch();

  /** @returns {Promise<{code: number, out: string, err: string}>} */
  function icp(...args) {
    const env = { PATH: process.env.PATH, HOME: home, ICP_HOME: join(home, 'icp'), DO_NOT_TRACK: '1', NO_COLOR: '1' };
    return new Promise((resolve) => {
      execFile(binary, args, { env, cwd: home, timeout: 60_000 }, (error, out, err) => {
        resolve({ code: error ? error.code : 0, out, err });
      });
    });
  }

  /** As icp(); it must succeed. @returns {Promise<string>} what it prints */
  async function good(...args) {
    const { code, out, err } = await icp(...args);
    assert.equal(code, 0, `icp ${args.join(' ')}: ${err}`);
    return out;
  }

  async function addIdentity(name, { pem }) {
    const file = join(home, `${name}.pem`);
    writeFileSync(file, pem, { mode: 0o600 });
    await good('identity', 'import', name, '--from-pem', file, '--storage', 'plaintext');
  }

  /** Arguments that name the network, and who asks. */
  const target = (identity) => ['-n', net.url, '-k', hex(net.rootKeyDer), '--identity', identity];

  return { icp, good, target, home, addIdentity };
}
