// What goes wrong before the mount appears: one clear line, the documented exit status, nothing mounted. And the way to the
// background.
import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { networkArgs, program, pread, refused, run, seedBytes, Stage } from './harness.mjs';
import { newPoint, pidsOf, within } from './process.mjs';

describe('refused', () => {
  let stage, network, point, sample;

  before(async () => {
    stage = await Stage.open();
    network = await stage.network(['--demo', '--demo-size', '1M']);
    sample = network.canisters.sample;
    point = await newPoint(stage);
  });
  after(() => stage.close());

  const check = async (args, code, words) => {
    for (const foreground of [[], ['-f']]) {
      const result = await refused([...foreground, ...args]);
      assert.equal(result.code, code, result.stderr);
      assert.match(result.stderr, words);
      assert.equal(result.stderr.trimEnd().split('\n').length, 1, `one line: ${result.stderr}`);
      assert.ok(!(await readFile('/proc/self/mountinfo', 'utf8')).includes(` ${point} `), 'not mounted');
    }
  };

  test('command line', async () => {
    await check([], 1, /: no canister and no mount point; usage: canisterfs/);
    await check([sample], 1, /: no mount point; usage: canisterfs/);
    await check(['-o', 'identiy=x', sample, point], 1, /unknown option 'identiy' \(identity\?\)/);
    await check(['-o', 'colour=red', sample, point], 1, /unknown option 'colour'/);
    await check(['-o', 'cache_size=lots', sample, point], 1, /'lots' is not a size/);
    await check([...networkArgs(network), 'not-a-principal', point], 1, /not the text form of a principal/);
    for (const url of ['ftp://x', 'http://', 'http://host:99999', 'http://host/?x'])
      await check(['-o', `network=${url}`, sample, point], 1, /not ic, local, or a URL/);
    await check(['-o', 'network=http://user:secret@127.0.0.1:9', sample, point], 1, /^(?!.*secret).*no password/);
  });

  test('root key', async () => {
    await check([...networkArgs(network), '-o', 'insecure_root_key', sample, point], 1, /'root_key' and 'insecure_root_key' exclude each other/);
    await check(['-o', `network=${network.url}`, sample, point], 2, /needs its root key/);
    await check(['-o', `network=${network.url},root_key=00ff`, sample, point], 2, /neither 266 hex digits nor a file/);
    const file = join(stage.dir, 'key');
    await writeFile(file, 'no key');
    await check(['-o', `network=${network.url},root_key=${file}`, sample, point], 2, /holds neither a DER key/);
    const other = network.root_key.slice(0, 74) + '00'.repeat(96);
    await check(['-o', `network=${network.url},root_key=${other}`, sample, point], 2, /root key/);
  });

  test('a root key of another network', async () => {
    // The Internet Computer's: a real key that did not sign this network's certificates.
    const mainnet =
      '308182301d060d2b0601040182dc7c0503010201060c2b0601040182dc7c05030201036100814c0e6ec71fab583b08bd81373c255c3c371b2e' +
      '84863c98a4f1e08b74235d14fb5d9c0cd546d9685f913a0c0b2cc5341583bf4b4392e467db96d65b9bb4cb717112f8472e0d5a4d14505ffd74' +
      '84b01291091c5f87b98883463f98091a0baaae';
    await check(['-o', `network=${network.url},root_key=${mainnet}`, sample, point], 3, /signature does not verify \(is this the root key/);
  });

  test('a clock that is wrong: the words are about the clock alone', async () => {
    // The server's Date stays right, so that it is the node's clock that differs from ours.
    const words = [
      [3600000, /^(?!.*root key).*: 3\d{3} s in the future; this computer's clock agrees with the server's: the node runs ahead$/m],
      [-3600000, /^(?!.*root key).*: 3\d{3} s old; this computer's clock agrees with the server's: the node lags$/m],
    ];
    try {
      for (const [skewMs, expected] of words) {
        await network.options({ skewMs });
        await check([...networkArgs(network), sample, point], 3, expected);
      }
    } finally {
      await network.options({ skewMs: 0 });
    }
  });

  test('identity', async () => {
    const file = join(stage.dir, 'identity.pem');
    await check([...networkArgs(network), '-o', `identity=${file}`, sample, point], 2, /identity/);
    await writeFile(file, 'not a PEM file');
    await check([...networkArgs(network), '-o', `identity=${file}`, sample, point], 2, /identity/);
    const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
    await writeFile(file, privateKey.export({ type: 'pkcs8', format: 'pem' }));
    await check([...networkArgs(network), '-o', `identity=${file}`, sample, point], 2, /identity/);
  });

  test('network and canister', async () => {
    const nobody = ['-o', `network=http://127.0.0.1:9,root_key=${network.root_key},timeout=5s`];
    const secure = ['-o', `network=https${network.url.slice(4)},root_key=${network.root_key},timeout=5s`];
    await check([...secure, sample, point], 3, /does not speak TLS: is it http, not https\?/);
    await check([...nobody, sample, point], 3, /127\.0\.0\.1:9/);
    process.env.http_proxy = 'http://user:secret@127.0.0.1:9';
    try {
      const words = /^(?!.*secret).*by way of the proxy 127\.0\.0\.1:9 \(http_proxy in the environment\): Failed to connect/m;
      await check([...networkArgs(network), '-o', 'timeout=5s', sample, point], 3, words);
    } finally {
      delete process.env.http_proxy;
    }
    await check([...networkArgs(network), 'ryjl3-tyaaa-aaaaa-aaaba-cai', point], 3, /canister/);
    await check([...networkArgs(network), '-o', 'did=/nope', sample, point], 2, /: did '\/nope': cannot be read: No such file or directory$/m);
  });

  test('mount point', async () => {
    await check([...networkArgs(network), sample, join(stage.dir, 'missing')], 4, /No such file/);
    await check([...networkArgs(network), sample, join(stage.dir, 'key')], 4, /not a directory/);
    const mount = await stage.mount(network, sample);
    await check([...networkArgs(network), sample, mount.point], 4, /busy/);
    const bytes = await pread(mount.path('stable_memory'), 0, 16);
    assert.equal(bytes.compare(seedBytes(1n, 0, 16)), 0, 'the first mount is unharmed');
  });

  test('an exposed key is warned about', async () => {
    const file = join(stage.dir, 'exposed.pem');
    const { privateKey } = generateKeyPairSync('ed25519');
    await writeFile(file, privateKey.export({ type: 'pkcs8', format: 'pem' }), { mode: 0o644 });
    const mount = await stage.mount(network, sample, ['-o', `identity=${file}`]);
    await mount.says(/warning: identity .* can be read by others/);
  });

  test('in the background: returns when it serves, ends on unmount', async () => {
    await run(program, [...networkArgs(network), sample, point]);
    const bytes = await pread(join(point, 'stable_memory'), 100, 16);
    assert.equal(bytes.compare(seedBytes(1n, 100, 16)), 0, 'serves at once');
    const { stdout } = await run('findmnt', ['-n', '-o', 'SOURCE,FSTYPE', point]);
    assert.match(stdout, new RegExp(`${sample}\\s+fuse\\.canisterfs`));
    await run('fusermount3', ['-u', point]);
    assert.ok(await within(60_000, async () => (await pidsOf(point)).length === 0), 'the process ended');
  });

  test('insecure_root_key mounts, with a warning', async () => {
    const { stderr } = await run(program, ['-o', `network=${network.url},insecure_root_key`, sample, point]);
    assert.match(stderr, /warning: the root key was fetched .* without proof/);
    const bytes = await pread(join(point, 'stable_memory'), 0, 16);
    assert.equal(bytes.compare(seedBytes(1n, 0, 16)), 0);
    await run('fusermount3', ['-u', point]);
  });
});
